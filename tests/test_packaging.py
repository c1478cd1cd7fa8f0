"""The wheel, installed into a fresh environment without the train extra."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

from kvae.bundle import locate

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
HEAVY = ("tensorflow", "keras", "tf_keras", "tensorflow_probability", "tf2onnx", "onnx", "matplotlib", "rich")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The folder with the sdist and the wheel built from it, made from a copy of the tree without earlier builds."""
    source = tmp_path_factory.mktemp("source") / "kvae"
    unwanted = shutil.ignore_patterns("build", "dist", "*.egg-info", "__pycache__", "node_modules", ".[!c]*")

    def left_out(folder: str, names: list[str]) -> set[str]:
        made_by_hand = {"runs"} if Path(folder) == ROOT else set()  # kvae/runs is a package
        return unwanted(folder, names) | made_by_hand

    shutil.copytree(ROOT, source, ignore=left_out)
    subprocess.run(
        [sys.executable, "-m", "build", "--outdir", "dist", "."], cwd=source, check=True, capture_output=True
    )
    return source / "dist"


@pytest.fixture(scope="module")
def wheel(built):
    """The wheel."""
    (path,) = built.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The python of an environment with the wheel and its cpu extra."""
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "-c", ROOT / "constraints.txt", f"{wheel}[cpu]"], check=True, capture_output=True)
    return python


def run(python, code, folder):
    return subprocess.run([python, "-P", "-c", code], cwd=folder, capture_output=True, text=True)


def test_the_wheel_holds_one_top_level_module_with_its_data(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} - {"kvae"} == {wheel.name.split("-py3")[0] + ".dist-info"}
    for name in (
        "kvae/py.typed", "kvae/cli/main.py", "kvae/exported/fashion_mnist/decoder.onnx",
        "kvae/exported/fashion_mnist/manifest.json", "kvae/exported/fashion_mnist/reference.npz",
        "kvae/exported/fashion_mnist_small/decoder.onnx",
        "kvae/explorer/page/noise.mjs", "kvae/data/fashion_mnist_mini/train-images-idx3-ubyte.gz",
        "kvae/data/fashion_mnist_mini/LICENSE", "kvae/pyinstaller/hook-kvae.py",
        "kvae/pyinstaller/hook-kvae.cli.main.py",
    ):  # fmt: skip
        assert name in names
    assert wheel.stat().st_size < 12_000_000


def test_the_tests_of_the_sdist_run(built, tmp_path):
    """All of them are collected, so that no module that they import is missing; only some of the quick ones run."""
    (path,) = built.glob("*.tar.gz")
    safely = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}  # since Python 3.11.4
    with tarfile.open(path) as archive:
        archive.extractall(tmp_path, **safely)
    (folder,) = tmp_path.iterdir()
    assert files_of_tests(folder) == files_of_tests(built.parent)
    environment = {name: value for name, value in os.environ.items() if name != "KVAE_TEST_ALL"}
    some = "test_docs.py or test_imports.py or test_tables.py or test_idx.py or test_atomic.py"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not slow", "-k", some],
        cwd=folder, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) > 100


def files_of_tests(folder):
    """The files under a copy's tests/, by their paths."""
    found = (path.relative_to(folder) for path in (folder / "tests").rglob("*") if path.is_file())
    return {str(path) for path in found if "__pycache__" not in path.parts}


def test_the_shipped_bundles_are_small():
    sizes = {path: sum(file.stat().st_size for file in path.iterdir()) for path in locate.shipped().values()}
    assert len(sizes) == 2 and max(sizes.values()) < 5_000_000 and sum(sizes.values()) < 12_000_000


@pytest.mark.parametrize(
    "command",
    [
        ["--help"],
        ["sample", "--n", "64"],
        ["info"],
        ["train", "--help"],
        ["traverse", "--model", "fashion_mnist_small"],
        ["verify"],
        ["doctor"],
    ],
)
def test_without_the_train_extra_commands_work_and_load_nothing_heavy(installed, tmp_path, command):
    code = (
        "import atexit, sys\n"
        f"atexit.register(lambda: print('loaded:', *[m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr))\n"
        f"from kvae.cli.main import main; main({command!r})"
    )
    done = run(installed, code, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1] == "loaded:"
    assert (tmp_path / "samples.png").exists() == (command[0] == "sample")


def test_the_base_install_is_light(installed, tmp_path):
    listing = subprocess.run([installed, "-m", "pip", "list", "--format=freeze"], capture_output=True, text=True)
    names = {line.split("==")[0].lower() for line in listing.stdout.splitlines()}
    assert names <= {
        "kvae-onnx", "click", "numpy", "pillow", "onnxruntime", "flatbuffers", "protobuf", "packaging", "coloredlogs",
        "humanfriendly", "sympy", "mpmath", "pip", "setuptools",
    }  # fmt: skip


def test_training_names_the_missing_extra_and_a_command_that_installs_it(installed, wheel, tmp_path):
    done = run(
        installed, "from kvae.cli.main import main; main(['train', '--dataset', 'fashion_mnist_mini'])", tmp_path
    )
    assert done.returncode == 1
    command = f"pip install '{wheel}[train]'"  # where it was installed from
    assert done.stderr == f"Error: this needs tensorflow; install it with: {command}\n"
    assert list(tmp_path.iterdir()) == []


def test_the_command_and_the_module_do_the_same(installed, tmp_path):
    for command in ([installed.parent / "kvae"], [installed, "-m", "kvae"]):
        done = subprocess.run([*command, "--version"], cwd=tmp_path, capture_output=True, text=True, check=True)
        assert done.stdout.startswith("kvae, version ")


def test_the_listed_packages_are_those_on_disk():
    setuptools = PROJECT["tool"]["setuptools"]
    moved = setuptools["package-dir"]
    folders = {name: Path(moved.get(name, name.replace(".", "/"))) for name in setuptools["packages"]}
    on_disk = {
        path.parent.relative_to(ROOT) for path in ROOT.glob("*/**/__init__.py") if path.parts[len(ROOT.parts)][0] != "."
    }
    on_disk = {path for path in on_disk if path.parts[0] not in ("build", "dist", "runs")}
    assert set(folders.values()) == on_disk


def test_constraints_pin_versions_and_name_no_host():
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[A-Za-z0-9_.+]+", line) for line in lines)
    pinned = {line.split("==")[0].lower().replace("_", "-") for line in lines}
    extras = PROJECT["project"]["optional-dependencies"]
    installed = ("cpu", "train", "ray", "docs", "dev")  # by the Makefile
    wanted = [*PROJECT["project"]["dependencies"], *(item for extra in installed for item in extras[extra])]
    names = {re.match(r"[A-Za-z0-9_.-]+", item)[0].lower() for item in wanted}
    assert names <= pinned
