"""The command that installs an extra, for every way in which kvae can have been installed."""

import json
import shlex
from importlib.metadata import PackageNotFoundError

import pytest

from kvae.machine import extras


@pytest.fixture
def installed(monkeypatch, tmp_path):
    """Pretends that kvae was installed from an origin, as pip records it, and not run from its sources."""
    monkeypatch.setattr(extras, "CLONE", tmp_path / "site-packages")

    def pretend(origin):
        class Distribution:
            def read_text(self, name):
                return origin if isinstance(origin, str | None) else json.dumps(origin)

        def distribution(name):
            if origin is PackageNotFoundError:
                raise PackageNotFoundError(name)
            return Distribution()

        monkeypatch.setattr(extras, "distribution", distribution)

    return pretend


def test_in_a_clone_the_clone_is_installed():
    assert shlex.split(extras.command("train")) == ["pip", "install", "-e", f"{extras.CLONE}[train]"]
    assert (extras.CLONE / "pyproject.toml").is_file()


def test_a_wheel_or_folder_is_installed_again_with_the_extra(installed, tmp_path):
    place = tmp_path / "a folder" / "kvae_onnx-0.1.0-py3-none-any.whl"
    place.mkdir(parents=True)
    installed({"url": place.as_uri(), "archive_info": {}})
    assert shlex.split(extras.command("ray")) == ["pip", "install", f"{place}[ray]"]
    assert shlex.split(extras.command()) == ["pip", "install", str(place)]


def test_if_it_is_gone_a_clone_is_needed(installed, tmp_path):
    installed({"url": (tmp_path / "gone.whl").as_uri(), "archive_info": {}})
    assert shlex.split(extras.command("cpu"), comments=True) == ["pip", "install", ".[cpu]"]
    installed(PackageNotFoundError)
    assert "in a clone of kvae" in extras.command("cpu")


def test_urls_and_repositories(installed):
    installed({"url": "https://example.org/k.whl", "archive_info": {}})
    assert shlex.split(extras.command("cpu"))[2:] == ["kvae-onnx[cpu] @ https://example.org/k.whl"]
    installed({"url": "https://example.org/k.git", "vcs_info": {"vcs": "git", "commit_id": "1" * 40}})
    assert shlex.split(extras.command("cpu"))[2:] == ["kvae-onnx[cpu] @ git+https://example.org/k.git"]


@pytest.mark.parametrize("record", [None, "", "{", "[]", "{}", '{"url": 3}'])
def test_without_a_record_it_came_from_an_index(installed, record):
    installed(record)
    assert extras.command("cpu").startswith("pip install ")


def test_a_python_without_tensorflow_is_named(monkeypatch):
    monkeypatch.setattr(extras.sys, "version_info", (3, 14, 1))
    assert "3.14" in extras.advice("train")
    assert "3.11 to 3.13" in extras.advice("train")
    assert "pip install" in extras.advice("cpu")
