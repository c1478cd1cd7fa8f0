"""A bundle in the threads and processes of a program: pickled, copied, shared, forked, spawned, short of threads."""

import copy
import os
import pickle
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
from tiny import DATASET, make_vae, random_images

from kvae.bundle.locate import locate
from kvae.errors import BundleError, KvaeError
from kvae.export import bundles
from kvae.runtime import sessions
from kvae.runtime.bundle import BATCH_SIZE, Bundle

SHIPPED = locate("fashion_mnist_small")


def same(found, expected):
    """Whether two bundles give the same images and codes."""
    images = random_images(2, tuple(expected.manifest.image_shape))
    np.testing.assert_array_equal(found.sample(3, seed=5), expected.sample(3, seed=5))
    if "encoder" in expected.graphs:
        np.testing.assert_array_equal(found.encode(images).loc, expected.encode(images).loc)
    return True


def run(code):
    """A program without TensorFlow, in its own process."""
    program = f"from kvae.runtime import Bundle\nPATH = {str(SHIPPED)!r}\n{code}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    return done.stdout


# Pickled and copied


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_of_a_folder_holds_its_path_device_and_threads(bundle_path, protocol):
    bundle = Bundle.open(bundle_path, device="cpu", threads=3)
    content = pickle.dumps(bundle, protocol)
    assert (bundle_path / "decoder.onnx").read_bytes()[-100:] not in content
    found = pickle.loads(content)
    assert (found._device, found._threads) == ("cpu", 3)
    assert same(found, bundle)


@pytest.mark.parametrize("name", ["decoder.onnx", "encoder.onnx"])
def test_a_lone_graph_is_pickled_by_path_or_bytes(bundle_path, name):
    for source in (bundle_path / name, (bundle_path / name).read_bytes()):
        bundle = Bundle.open(source)
        found = pickle.loads(pickle.dumps(bundle))
        assert list(found.graphs) == list(bundle.graphs)
        assert found.manifest == bundle.manifest


def test_a_bundle_in_memory_is_pickled_with_its_files(bundle_path, tmp_path):
    path = Path(shutil.make_archive(str(tmp_path / "z"), "zip", bundle_path))
    content = pickle.dumps(Bundle.open(path.read_bytes()))
    path.unlink()
    assert same(pickle.loads(content), Bundle.open(bundle_path))


def test_a_relative_path_means_the_same_in_another_folder(bundle_path, tmp_path, monkeypatch):
    shutil.copytree(bundle_path, tmp_path / "b")
    monkeypatch.chdir(tmp_path)
    bundle = Bundle.open("b")
    content = pickle.dumps(bundle)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert same(pickle.loads(content), bundle)  # the encoder of `bundle` is opened only here, too


@pytest.mark.parametrize("lone", [True, False])
def test_a_bundle_that_was_replaced_is_not_the_pickled_one(bundle_path, tmp_path, lone):
    path = shutil.copytree(bundle_path, tmp_path / "b")
    content = pickle.dumps(Bundle.open(path / "decoder.onnx" if lone else path))
    other = bundles.export(make_vae(seed=1), tmp_path / "other", dataset=DATASET).path
    for name in ("manifest.json", "decoder.onnx", "encoder.onnx"):
        shutil.copy(other / name, path / name)
    with pytest.raises(BundleError, match="not the bundle that was pickled"):
        pickle.loads(content)
    shutil.rmtree(path)
    with pytest.raises(BundleError, match="does not exist"):
        pickle.loads(content)


def test_a_lone_graph_with_other_weights_is_not_the_pickled_one(bundle_path, tmp_path):
    """Its manifest is the same: it has no hash of the graph that it is in."""
    path = Path(shutil.copy(bundle_path / "decoder.onnx", tmp_path))
    content = pickle.dumps(Bundle.open(path))
    model = onnx.load(path)
    weights = next(tensor for tensor in model.graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT)
    weights.raw_data = bytes(len(weights.raw_data))
    onnx.save(model, path)
    with pytest.raises(BundleError, match="not the bundle that was pickled"):
        pickle.loads(content)


def test_copies_are_bundles_of_their_own(bundle_path):
    bundle = Bundle.open(bundle_path, threads=2)
    for other in (copy.copy(bundle), copy.deepcopy(bundle), copy.deepcopy({"model": bundle})["model"]):
        assert other is not bundle
        assert same(other, bundle)
    copy.deepcopy(bundle).manifest.metrics["mine"] = {}
    assert "mine" not in bundle.manifest.metrics


@pytest.mark.parametrize("threads", [-1, 1025, 1.5, True, "2", None])
def test_a_number_of_threads_out_of_range(bundle_path, threads):
    with pytest.raises(KvaeError, match="threads must be an integer from 0 to 1024"):
        Bundle.open(bundle_path, threads=threads)


# Threads


@pytest.mark.parametrize("threads", [0, 1, 2])
def test_eight_threads_get_what_one_gets(bundle_path, threads):
    """Sampling many batches, encoding and reconstructing at once; the encoder is opened by whoever comes first."""
    images = random_images(3)
    alone = Bundle.open(bundle_path, threads=threads)
    samples = [alone.sample(2 * BATCH_SIZE + 1, seed=seed) for seed in range(8)]
    loc, decoded = alone.encode(images).loc, alone.reconstruct(images)
    shared, start = Bundle.open(bundle_path, threads=threads), threading.Barrier(8)

    def use(seed):
        start.wait(30)
        for _ in range(3):
            np.testing.assert_array_equal(shared.encode(images).loc, loc)
            np.testing.assert_array_equal(shared.sample(2 * BATCH_SIZE + 1, seed=seed), samples[seed])
            np.testing.assert_array_equal(shared.reconstruct(images), decoded)
        return seed

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(use, range(8))) == list(range(8))


def test_a_session_is_started_once_whoever_asks_first(bundle_path, monkeypatch):
    started, start_session = [], sessions.start_session
    monkeypatch.setattr(
        "kvae.runtime.bundle.start_session", lambda *arguments: started.append(1) or start_session(*arguments)
    )
    bundle, start = Bundle.open(bundle_path, threads=1), threading.Barrier(8)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: start.wait(30) and bundle.encode(random_images(1)), range(8)))
    assert len(started) == 2  # decoder and encoder


# Processes

FORK = """
import os, signal, sys, threading, time, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of every fork of a process with threads
bundle = Bundle.open(PATH, threads=2)
expected = bundle.sample(600, seed=1)
stop = threading.Event()
busy = threading.Thread(target=lambda: [(bundle.sample(260), time.sleep(0.02)) for _ in iter(stop.is_set, True)])
busy.start()  # a thread that the children do not have, and that may hold any lock
try:
    for number in range(2):
        child = os.fork()
        if not child:
            signal.alarm(30)
            assert (bundle.sample(600, seed=1) == expected).all()
            assert (bundle.encode(expected[:3]).loc == Bundle.open(PATH).encode(expected[:3]).loc).all()
            grandchild = os.fork()
            if not grandchild:
                signal.alarm(30)
                assert (bundle.sample(600, seed=1) == expected).all()
                os._exit(7)
            assert os.waitstatus_to_exitcode(os.waitpid(grandchild, 0)[1]) == 7
            (os._exit if number % 2 else sys.exit)(7)  # without and with the interpreter's end
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
finally:
    stop.set()
busy.join()
assert (bundle.sample(600, seed=1) == expected).all()
"""
POOL = """
import multiprocessing
if __name__ == "__main__":
    bundle = Bundle.open(PATH, threads=1)
    expected = bundle.sample(20, seed=3)
    with multiprocessing.get_context({method!r}).Pool(2) as pool:
        parts = pool.starmap(bundle.sample, [(5, 3, 1.0, start) for start in (0, 5, 10, 15)])
    assert all((part == expected[5 * index:][:5]).all() for index, part in enumerate(parts))
    print("equal")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_process_uses_the_bundle_of_its_parent():
    run(FORK)


@pytest.mark.parametrize("method", ["spawn", *(["fork", "forkserver"] if hasattr(os, "fork") else [])])
def test_a_pool_of_processes_gets_the_bundle(method, tmp_path):
    script = tmp_path / "program.py"
    script.write_text(f"from kvae.runtime import Bundle\nPATH = {str(SHIPPED)!r}\n{POOL.format(method=method)}")
    command = [sys.executable, "-W", "ignore::DeprecationWarning", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stdout) == (0, "equal\n"), done.stderr


# Short of threads


@pytest.fixture
def without_threads(monkeypatch):
    """onnxruntime and Python fail as under `ulimit -u`, when they start a thread."""
    onnxruntime = sessions.load_onnxruntime()
    session = onnxruntime.InferenceSession

    def start(graph, options, **settings):
        if options.intra_op_num_threads != 1:
            raise RuntimeError("pthread_create failed, error code: 11 error msg: Resource temporarily unavailable")
        return session(graph, options, **settings)

    def refuse(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(onnxruntime, "InferenceSession", start)
    monkeypatch.setattr(threading.Thread, "start", refuse)


def test_without_further_threads_the_images_are_the_same(bundle_path, without_threads, monkeypatch, capfd):
    monkeypatch.setenv("KVAE_THREADS", "4")
    found = Bundle.open(bundle_path).sample(3 * BATCH_SIZE, seed=1)
    monkeypatch.undo()
    np.testing.assert_array_equal(found, Bundle.open(bundle_path, threads=1).sample(3 * BATCH_SIZE, seed=1))
    assert capfd.readouterr() == ("", "")


def test_a_graph_that_cannot_be_loaded_prints_nothing(bundle_path, tmp_path, capfd):
    """onnxruntime's wrapper would print a banner on stdout, and try again."""
    model = onnx.load(bundle_path / "decoder.onnx")
    model.graph.node[0].op_type = "Where"  # which takes three inputs
    onnx.save(model, tmp_path / "decoder.onnx")
    with pytest.raises(BundleError, match="onnxruntime cannot load"):
        Bundle.open(tmp_path / "decoder.onnx")
    assert capfd.readouterr() == ("", "")


def test_the_sessions_have_as_many_threads_as_kvae_threads_says(bundle_path, monkeypatch):
    for count in (1, 3):
        monkeypatch.setenv("KVAE_THREADS", str(count))
        bundle = Bundle.open(bundle_path)
        (session,) = bundle._sessions.started.values()
        assert session.get_session_options().intra_op_num_threads == count
    monkeypatch.setenv("KVAE_THREADS", "many")
    with pytest.raises(KvaeError, match="KVAE_THREADS"):
        Bundle.open(bundle_path)
