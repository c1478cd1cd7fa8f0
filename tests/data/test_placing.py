"""A result is never written where images are read: by any name of the folder, in its links, or around it."""

from pathlib import Path

import pytest

from kvae.data.placing import check_outside
from kvae.errors import KvaeError


@pytest.fixture
def data(tmp_path):
    (tmp_path / "data" / "sub").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "data" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data" / "round").symlink_to(tmp_path / "data")
    (tmp_path / "other-name").symlink_to(tmp_path / "data")
    return tmp_path / "data"


@pytest.mark.parametrize(
    "name",
    ["data/run", "data", "data/sub/a/b", "data/../data/run", "other-name/run", "elsewhere/run", "data/.hidden/run"],
)
def test_what_lies_in_the_images_folder_is_refused(data, tmp_path, name):
    with pytest.raises(KvaeError, match="lies in .*data.*would become data.* another --out"):
        check_outside(tmp_path / name, [data])
    with pytest.raises(KvaeError, match="would become data"):
        check_outside(tmp_path / name, [tmp_path / "elsewhere-too", tmp_path / "other-name"])


def test_relative_names_are_the_same_folders(data, monkeypatch):
    monkeypatch.chdir(data)
    for out, read in (("run", "."), ("sub/run", "../data"), ("../data/run", data)):
        with pytest.raises(KvaeError, match="would become data"):
            check_outside(Path(out), [Path(read)])


@pytest.mark.parametrize("read", ["data", "data/sub", "data/x.npy"])
def test_a_folder_that_holds_the_images_is_refused(data, tmp_path, read):
    (data / "x.npy").write_bytes(b"x")
    with pytest.raises(KvaeError, match="lies in .*which would be written"):
        check_outside(tmp_path, [tmp_path / read])


@pytest.mark.parametrize("name", ["run", "data-run", "data2/run", "elsewhere-too", "runs/data"])
def test_other_places_are_allowed(data, tmp_path, name):
    check_outside(tmp_path / name, [data, tmp_path / "gone"])


def test_beside_a_file_of_images_is_allowed_but_not_over_it(tmp_path):
    (tmp_path / "x.npy").write_bytes(b"x")
    check_outside(tmp_path / "run", [tmp_path / "x.npy"])
    with pytest.raises(KvaeError, match="which is read"):
        check_outside(tmp_path / "x.npy", [tmp_path / "x.npy"])
