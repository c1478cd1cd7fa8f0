"""Bulk jobs on a local Ray with two workers: the same numbers as the local engine, and no work is lost in a crash."""

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner
from family import LABELS, export_member
from PIL import Image
from tiny import random_images

from kvae.bundle import locate
from kvae.cli.main import main
from kvae.data.datasets import load
from kvae.errors import KvaeError
from kvae.machine import extras
from kvae.runtime import bulk, ray_engine, shards
from kvae.runtime.bundle import Bundle

if importlib.util.find_spec("ray") is None:
    pytest.skip("ray is not installed: pip install '.[ray]'", allow_module_level=True)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings(r"ignore::DeprecationWarning:ray\..*"),  # Ray calls its own deprecated functions
]
IMAGES = load("fashion_mnist_mini").test.images[:60]
SHIPPED = locate.shipped()["fashion_mnist_small"]
VERBS = ("score", "encode", "sample")
SAMPLES = 6_000


@pytest.fixture(scope="module")
def two_workers():
    """A Ray with two workers, which the tests share, because it takes seconds to start."""
    import ray

    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield ray
    ray.shutdown()


@pytest.fixture
def kvae(tmp_path, monkeypatch):
    """Runs the command, with at most 16 images per shard, in a folder with images as PNGs and as an array."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(shards, "MAX_IMAGES", 16)
    monkeypatch.setattr("kvae.data.image_files.BATCH", 8)
    monkeypatch.setattr("kvae.runtime.bundle.BATCH_SIZE", 8)
    (tmp_path / "pngs").mkdir()
    for index, image in enumerate(IMAGES[:20]):
        Image.fromarray(image[..., 0]).save(tmp_path / "pngs" / f"{index:02d}.png")
    np.save("images.npy", IMAGES)

    def run(*arguments):
        model = [] if "--model" in arguments or arguments[0] not in VERBS else ["--model", "fashion_mnist_small"]
        return CliRunner().invoke(main, [*arguments, *model], catch_exceptions=False)

    return run


def parts(folder="out"):
    return sorted(path for path in Path(folder).iterdir() if path.name.startswith("part-"))


def report(result):
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def error(result):
    assert (result.exit_code, result.stdout) == (1, ""), result.output
    (line,) = result.stderr.splitlines()
    return line


def test_scores_equal_those_of_the_local_engine(two_workers, kvae):
    """Pictures and an array give five parts; a second call makes only the deleted one, a third makes none."""
    call = ("score", "pngs", "images.npy", "--engine", "ray", "--out", "out", "--json")
    assert report(kvae(*call)) == {"out": "out", "model": str(SHIPPED), "n": 80, "parts": 5, "made": 5, "skipped": []}
    assert kvae("score", "pngs", "images.npy", "--out", "local.csv").exit_code == 0
    heading, *expected = Path("local.csv").read_text().splitlines()
    found = [part.read_text().splitlines() for part in parts()]
    assert [row for rows in found for row in rows[1:]] == expected
    assert {rows[0] for rows in found} == {heading}
    content = parts()[3].read_bytes()
    parts()[3].unlink()
    again = kvae(*call)
    assert (report(again)["made"], again.stderr.splitlines()[0]) == (1, "4 of 5 parts exist already.")
    assert parts()[3].read_bytes() == content
    assert report(kvae(*call))["made"] == 0


def test_codes_equal_those_of_the_local_engine(two_workers, kvae):
    assert kvae("encode", "images.npy", "--engine", "ray", "--out", "out").stdout == "out\n"
    assert kvae("encode", "images.npy").exit_code == 0
    with np.load("codes.npz") as expected:
        for name in ("loc", "scale", "names"):
            np.testing.assert_array_equal(np.concatenate([np.load(part)[name] for part in parts()]), expected[name])


@pytest.fixture(scope="module")
def conditional(tmp_path_factory):
    """A conditional model, and the labels of 40 images for it."""
    labels = np.array(LABELS)[np.random.default_rng(0).integers(len(LABELS), size=40)]
    return export_member(tmp_path_factory.mktemp("conditional") / "bundle", labelled=True).path, labels


@pytest.mark.parametrize("label", [None, "right shoe", "best"])
def test_a_conditional_model_encodes_and_scores_as_the_local_engine_does(two_workers, kvae, conditional, label):
    """With the labels of an archive and of folders, one label for all, or the best of each image."""
    model, labels = conditional
    pixels = (random_images(40)[..., 0] * 255).astype(np.uint8)
    np.savez("images.npz", images=pixels, labels=labels)
    for index, name in enumerate(labels[:20]):
        Path("classes", name).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels[index]).save(Path("classes", name, f"{index}.png"))
    call = ["images.npz", "classes", "--model", str(model), *(["--label", label] if label else [])]
    for verb, local in (("encode", "codes.npz"), ("score", "scores.csv")):
        result = kvae(verb, *call, "--engine", "ray", "--out", verb)
        assert result.exit_code == 0, result.output
        result = kvae(verb, *call, "--out", local)
        assert result.exit_code == 0, result.output
    with np.load("codes.npz") as expected:
        known = {None: 3, "right shoe": 1}.get(label)
        assert known is None or len(set(expected["label"].tolist())) == known
        for name in ("loc", "scale", "names", "label"):
            found = np.concatenate([np.load(part)[name] for part in parts("encode")])
            np.testing.assert_array_equal(found, expected[name])
    heading, *rows = Path("scores.csv").read_text().splitlines()
    found = [part.read_text().splitlines() for part in parts("score")]
    assert [row for part in found for row in part[1:]] == rows and "label" in heading
    assert len(rows) == 60 and len(found) > 2


@pytest.mark.parametrize("label", [None, "right shoe"])
def test_a_conditional_model_is_sampled_as_by_the_local_engine(two_workers, kvae, conditional, label):
    call = ["sample", "--n", "600", "--model", str(conditional[0]), *(["--label", label] if label else [])]
    for options in (["--engine", "ray", "--out", "out"], ["--out", "x.npy"]):
        assert kvae(*call, *options).exit_code == 0
    np.testing.assert_array_equal(np.concatenate([np.load(part) for part in parts()]), np.load("x.npy"))
    assert len(parts()) == 3


def test_a_row_of_each_class_is_not_made_in_parts(kvae, conditional):
    call = ("sample", "--engine", "ray", "--out", "out", "--model", str(conditional[0]), "--label", "all")
    assert "--label all draws a row per class" in error(kvae(*call))


def test_the_error_names_an_unreadable_image_and_finished_parts_are_kept(two_workers, kvae):
    """Once the picture is repaired, the same call continues."""
    good = Path("pngs/17.png").read_bytes()
    Path("pngs/17.png").write_bytes(good[:100])
    call = ("score", "pngs", "--engine", "ray", "--out", "out", "--max-bad", "0")
    assert error(kvae(*call)).startswith("Error: pngs/17.png: it cannot be read: image file is truncated")
    assert [part.name for part in parts()] in ([], ["part-00000-of-00002.csv"])
    Path("pngs/17.png").write_bytes(good)
    assert kvae(*call).exit_code == 0
    assert sum(len(part.read_text().splitlines()) - 1 for part in parts()) == 20


def test_bad_pictures_are_skipped_and_counted_over_all_shards(two_workers, kvae):
    for name in ("03", "17"):
        Path(f"pngs/{name}.png").write_bytes(b"no picture")
    call = ("score", "pngs", "--engine", "ray")
    result = kvae(*call, "--out", "out")
    assert (result.exit_code, result.stdout) == (0, "out\n")
    assert [line[:20] for line in sorted(result.stderr.splitlines()) if "skipped:" in line] == [
        "skipped: pngs/03.png", "skipped: pngs/17.png"
    ]  # fmt: skip
    assert "2 of 20 images were skipped." in result.stderr
    assert sum(len(part.read_text().splitlines()) - 1 for part in parts()) == 18
    assert "--max-bad 1" in error(kvae(*call, "--out", "other", "--max-bad", "1"))


def test_another_model_or_other_images_are_refused(two_workers, kvae, bundle_path):
    call = ("score", "images.npy", "--engine", "ray", "--out", "out")
    assert kvae(*call).exit_code == 0
    assert "another command: score; now sample" in error(kvae("sample", "--engine", "ray", "--out", "out"))
    np.save("images.npy", IMAGES[::-1])
    assert "with other images, or they have changed" in error(kvae(*call))
    Path("out/plan.json").write_text("{")
    assert "plan.json is damaged" in error(kvae(*call))
    assert len(parts()) == 4


def worker_of(ray_of):
    """A worker process of this process's own Ray."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            name, parent = (folder / "cmdline").read_bytes(), parent_of(folder.name)
            if name.startswith(b"ray::MapWorker") and parent_of(parent) == str(os.getpid()):
                return int(folder.name)
        except OSError:  # the process has ended
            continue
    raise AssertionError("no worker found")


def parent_of(process):
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1]


def test_a_killed_worker_costs_only_its_shard(two_workers, tmp_path):
    """Ray makes the shard again, in another worker; every part exists once, and is complete."""
    job = bulk.of_samples(SHIPPED, SAMPLES, tmp_path / "out", seed=1, shard_size=300)
    with shards.opened(job.out, job.plan) as missing:
        done = ray_engine.run(job, missing)
        counts = [next(done).images]
        os.kill(worker_of(two_workers), signal.SIGKILL)
        counts += [made.images for made in done]
    assert counts == [300] * 20
    found = np.concatenate([np.load(part) for part in parts(job.out)])
    np.testing.assert_array_equal(found, Bundle.open(SHIPPED).sample(SAMPLES, 1))


class Deadly:
    """Images that kill the worker that unpickles them, as the kernel does when memory runs out."""

    def __reduce__(self):
        return os._exit, (1,)


def test_a_shard_that_kills_its_workers_is_an_error_of_one_line(two_workers, tmp_path):
    job = bulk.of_samples(SHIPPED, 4, tmp_path / "out")
    with pytest.raises(KvaeError, match="worker of a shard died 4 times.* memory") as error:
        list(ray_engine.run(job, [0], [Deadly()]))
    assert "\n" not in str(error.value)


# `kvae` as a program, with its own Ray, small shards, and a TensorFlow that reports who imports it.
PROGRAM = "from kvae.runtime import shards; shards.MAX_IMAGES = 256; from kvae.cli.main import main; main()"


def program(folder, *arguments):
    (folder / "spy" / "tensorflow").mkdir(parents=True, exist_ok=True)
    (folder / "spy" / "tensorflow" / "__init__.py").write_text(f"open({str(folder / 'imported')!r}, 'w').close()")
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(folder / "spy"), *sys.path]), "RAY_ADDRESS": "local"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


INTERRUPTED = """
from kvae.cli import bulk
from kvae.cli.main import main
from kvae.runtime import shards

kept = []  # as a traceback would keep it

def shown(done, *_):
    kept.append(done)
    next(done)
    print("(raylet) a worker died")  # as a thread of Ray prints it
    raise KeyboardInterrupt

shards.MAX_IMAGES, bulk.shown = 256, shown
main()
"""


def test_ctrl_c_between_two_shards_leaves_no_ray_behind(tmp_path):
    """Ray Data's iterator must end before Ray does: otherwise it starts Ray again when it is collected."""
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, "sample", "--engine", "ray", "--out", "out", "--n", "2048"],
        cwd=tmp_path, env=os.environ | {"RAY_ADDRESS": "local"}, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr.strip()) == (130, "", "Interrupted.")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_stopped_driver_leaves_complete_parts_and_can_resume(two_workers, tmp_path, monkeypatch, number):
    model = ("--model", "fashion_mnist_small")
    arguments = ("sample", *model, "--engine", "ray", "--out", "out", "--n", str(SAMPLES), "--seed", "2")
    process = program(tmp_path, *arguments)
    out = tmp_path / "out"
    while process.poll() is None and not (out.exists() and len(parts(out)) > 1):
        time.sleep(0.01)
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout) == ({signal.SIGKILL: -9, signal.SIGINT: 130}[number], ""), stderr
    assert number == signal.SIGKILL or stderr.strip() == "Interrupted."
    stopped = {path: path.stat().st_mtime_ns for path in parts(out)}
    assert 1 < len(stopped) < 24
    assert {np.load(part).shape for part in stopped} <= {(256, 28, 28, 1), (112, 28, 28, 1)}
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(shards, "MAX_IMAGES", 256)
    found = report(CliRunner().invoke(main, [*arguments, "--json"]))
    assert found["parts"] == len(parts(out)) == 24
    assert found["made"] <= 24 - len(stopped)
    assert {path: path.stat().st_mtime_ns for path in stopped} == stopped
    images = np.concatenate([np.load(part) for part in parts(out)])
    np.testing.assert_array_equal(images, Bundle.open(SHIPPED).sample(SAMPLES, 2))
    assert not (tmp_path / "imported").exists()


def test_bad_arguments_are_errors_of_one_line(kvae, monkeypatch):
    """Before Ray starts."""
    monkeypatch.setattr("ray.init", lambda **_: pytest.fail("Ray was started"), raising=False)
    assert "name it with --out" in error(kvae("score", "images.npy", "--engine", "ray"))
    assert "codes.npz: shards are written to a folder" in error(kvae("encode", "images.npy", "--engine", "ray"))
    Path("file").touch()
    assert "written to a folder" in error(kvae("score", "images.npy", "--engine", "ray", "--out", "file"))
    assert "holds other files" in error(kvae("score", "images.npy", "--engine", "ray", "--out", "pngs"))


def test_without_ray_one_line_says_how_to_install_it(kvae, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert f"ray is not installed; --engine ray needs it. Install it with: {extras.command('ray')}" in error(
        kvae("score", "images.npy", "--engine", "ray", "--out", "out")
    )
    assert not Path("out").exists()


def test_the_error_names_a_cluster_that_does_not_answer(kvae, monkeypatch):
    """At once, while Ray by itself would try for minutes. Nothing listens on a port that was just released."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    monkeypatch.setattr("ray.shutdown", lambda: None)
    monkeypatch.setenv("RAY_ADDRESS", address)
    line = error(kvae("score", "images.npy", "--engine", "ray", "--out", "out"))
    assert "no Ray cluster answers at RAY_ADDRESS" in line and address in line


def test_a_cluster_without_gpus_refuses_cuda(two_workers, tmp_path):
    job = bulk.of_samples(SHIPPED, 4, tmp_path / "out", device="cuda")
    with pytest.raises(KvaeError, match="Ray cluster has no GPU"):
        list(ray_engine.run(job, [0]))


@pytest.mark.parametrize(
    ("nodes", "gpus", "expected"),
    [
        (["10.0.0.1"], False, 2),
        (["10.0.0.1"], True, 8),
        (["10.0.0.1", "10.0.0.2"], False, 8),
        (["10.0.0.2"], False, 8),
    ],
)
def test_on_this_machine_alone_there_are_as_many_workers_as_threads(monkeypatch, nodes, gpus, expected):
    """Ray counts the cores of the whole machine; a cluster of others is not limited by this process."""
    ray = SimpleNamespace(
        cluster_resources=lambda: {"CPU": 8.0, "GPU": 8.0},
        nodes=lambda: (
            [{"NodeManagerAddress": "10.0.0.9", "Alive": False}]
            + [{"NodeManagerAddress": node, "Alive": True} for node in nodes]
        ),
        util=SimpleNamespace(get_node_ip_address=lambda: "10.0.0.1"),
    )
    monkeypatch.setenv("KVAE_THREADS", "2")
    assert ray_engine._slots(ray, gpus) == expected
