"""Requirements read from metadata: kvae's, against pyproject.toml, and those of a distribution made for the test."""

import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

from kvae.checks import requirements
from kvae.checks.requirements import Requirement

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]


def test_every_requirement_of_kvae_is_found_with_its_extra():
    found = {(item.name, item.extra) for item in requirements.of()}
    assert {("click", None), ("onnxruntime", "cpu"), ("onnxruntime-gpu", "gpu"), ("tensorflow", "train")} <= found
    assert all(item.fits for item in requirements.of() if item.extra in (None, "cpu", "train"))
    assert {item.extra for item in requirements.of()} == {None, *PROJECT["optional-dependencies"]}


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Installs a distribution with these requirements where Python finds it."""

    def install(*lines):
        folder = tmp_path / "made-1.0.dist-info"
        folder.mkdir()
        text = "Metadata-Version: 2.1\nName: made\nVersion: 1.0\nProvides-Extra: train\nProvides-Extra: cpu\n"
        (folder / "METADATA").write_text(text + "".join(f"Requires-Dist: {line}\n" for line in lines))
        monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
        return requirements.of("made")

    return install


def test_versions_extras_and_what_fits(made):
    found = made("numpy>=1", "made<1.0; extra == 'train'", "no-such-thing[x]<4,>=3.15; extra == 'cpu'")
    assert found == [
        Requirement("numpy", ">=1", None, version("numpy"), True),
        Requirement("made", "<1.0", "train", "1.0", False),
        Requirement("no-such-thing", ">=3.15,<4", "cpu", None, False),
    ]


@pytest.mark.parametrize(
    ("marker", "applies"),
    [("python_version >= '3.0'", True), ("python_version < '3.11'", False), ("python_version >= '4'", False)],
)
def test_a_requirement_for_another_python_is_left_out(made, marker, applies):
    assert bool(made(f"numpy; {marker} and extra == 'train'")) == applies


def test_a_distribution_that_is_not_installed_requires_nothing():
    assert requirements.installed("no-such-distribution-of-kvae") is None
    assert requirements.of("no-such-distribution-of-kvae") == []
