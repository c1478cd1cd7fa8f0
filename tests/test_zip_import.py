"""kvae imported from a zip: the light world works, and the shipped files are found."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from kvae.bundle.locate import locate
from kvae.runtime import Bundle

ROOT = Path(__file__).parent.parent
FOLDERS = {"kvae": "kvae", "cli": "kvae/cli", "exported": "kvae/exported"}


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """A zip of the package, as `shutil.make_archive` or a build tool makes it."""
    path = tmp_path_factory.mktemp("zip") / "kvae.zip"
    with zipfile.ZipFile(path, "w") as file:
        for source, target in FOLDERS.items():
            for entry in sorted((ROOT / source).rglob("*")):
                if entry.is_file() and "__pycache__" not in entry.parts:
                    file.write(entry, f"{target}/{entry.relative_to(ROOT / source).as_posix()}")
    return path


def run(archive, folder, code):
    """A program that has the zip first in its path; its temporary files are in `folder / "tmp"`."""
    (folder / "tmp").mkdir(exist_ok=True)
    start = f"import sys; sys.path.insert(0, {str(archive)!r})\nimport kvae; assert {archive.name!r} in kvae.__file__\n"
    environment = os.environ | {"TMPDIR": str(folder / "tmp"), "KVAE_CACHE_DIR": str(folder / "cache")}
    done = subprocess.run(
        [sys.executable, "-P", "-c", start + code], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert list((folder / "tmp").iterdir()) == []  # what was unpacked is removed
    return done.stdout


def test_the_runtime_samples_the_shipped_bundle(archive, tmp_path):
    code = (
        "import importlib.resources, numpy as np\n"
        "from kvae.runtime import Bundle\n"
        "bundle = Bundle.open(importlib.resources.files('kvae.exported') / 'fashion_mnist')\n"
        "np.save('samples.npy', bundle.sample(3, seed=2))"
    )
    run(archive, tmp_path, code)
    expected = Bundle.open(locate("fashion_mnist")).sample(3, seed=2)
    np.testing.assert_array_equal(np.load(tmp_path / "samples.npy"), expected)


@pytest.mark.parametrize(
    "command",
    [
        "sample --n 2 --out samples.png", "info fashion_mnist", "verify fashion_mnist", "doctor",
        "explore fashion_mnist --out page", "traverse --model fashion_mnist_small --out traversal.png",
        "sample --n 2 --model fashion_mnist --out a.npy",
    ],
)  # fmt: skip
def test_the_command_line_finds_the_shipped_bundle(archive, tmp_path, command):
    run(archive, tmp_path, f"from kvae.cli.main import main; main({command.split()!r})")


def test_the_shipped_images_are_found(archive, tmp_path):
    code = "from kvae.data import load; print(load('fashion_mnist_mini').train.images.shape)"
    assert run(archive, tmp_path, code).startswith("(4000, 28, 28")


def test_a_forked_process_does_not_remove_what_its_parent_unpacked(archive, tmp_path):
    if not hasattr(os, "fork"):
        pytest.skip("this system cannot fork")
    code = (
        "import os, sys\n"
        "from kvae.bundle.locate import locate\n"
        "path = locate('fashion_mnist')\n"
        "child = os.fork()\n"
        "if child: os.waitpid(child, 0); assert (path / 'decoder.onnx').is_file()\n"
    )
    run(archive, tmp_path, code)


def test_without_the_shipped_bundles_the_error_says_so(archive, tmp_path):
    """As in a program that was frozen without them."""
    part = Path(shutil.copy(archive, tmp_path / "part.zip"))
    with zipfile.ZipFile(archive) as whole, zipfile.ZipFile(part, "w") as rest:
        for name in whole.namelist():
            if not name.startswith("kvae/exported/"):
                rest.writestr(name, whole.read(name))
    code = (
        "from kvae.bundle.locate import locate\n"
        "from kvae.errors import BundleError\n"
        "sys.modules['kvae.exported'] = None\n"
        "try: locate(None)\n"
        "except BundleError as error: print(error)"
    )
    assert "no shipped bundle" in run(part, tmp_path, code)
