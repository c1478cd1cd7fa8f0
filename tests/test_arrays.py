"""Arrays in files: what numpy wrote is read row by row, what is written numpy reads, bad files are named."""

import zipfile

import numpy as np
import pytest

from kvae import arrays
from kvae.errors import DataError, KvaeError

NUMBERS = np.random.default_rng(0).normal(size=(10, 2, 3)).astype(np.float32)


def read(path, names=("images",), count=4):
    return np.concatenate(list(arrays.open_array(path, names).rows(count)))


@pytest.mark.parametrize("array", [NUMBERS, NUMBERS.astype(">f8"), np.arange(7)], ids=str)
def test_a_npy_is_read_as_numpy_reads_it(tmp_path, array):
    np.save(tmp_path / "a.npy", array)
    found = arrays.open_array(tmp_path / "a.npy", ())
    assert (found.shape, found.dtype) == (array.shape, array.dtype)
    np.testing.assert_array_equal(read(tmp_path / "a.npy"), array)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_an_npz_gives_the_named_array_or_its_only_one(tmp_path, save):
    save(tmp_path / "two.npz", images=NUMBERS, labels=np.arange(10))
    save(tmp_path / "one.npz", anything=NUMBERS)
    np.testing.assert_array_equal(read(tmp_path / "two.npz"), NUMBERS)
    np.testing.assert_array_equal(read(tmp_path / "one.npz"), NUMBERS)
    np.testing.assert_array_equal(read(tmp_path / "two.npz", ("no", "labels")), np.arange(10))
    with pytest.raises(DataError, match="two.npz holds images, labels; expected one named z or loc"):
        read(tmp_path / "two.npz", ("z", "loc"))


def test_what_cannot_be_read_is_named(tmp_path):
    np.save(tmp_path / "objects.npy", np.array([{"a": 1}], object), allow_pickle=True)
    np.save(tmp_path / "columns.npy", np.asfortranarray(NUMBERS))
    np.save(tmp_path / "scalar.npy", np.float32(1))
    np.save(tmp_path / "empty.npy", np.zeros((0, 2)))
    np.save(tmp_path / "cut.npy", NUMBERS)
    content = (tmp_path / "cut.npy").read_bytes()
    (tmp_path / "cut.npy").write_bytes(content[:-30])
    for name, shape in (("negative.npy", (-5, 2, 3)), ("absurd.npy", (10**15, 10**6, 10**6))):
        with (tmp_path / name).open("wb") as file:
            np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
            file.write(bytes(1000))
    (tmp_path / "text.npy").write_text("hello")
    (tmp_path / "text.npz").write_text("hello")
    with zipfile.ZipFile(tmp_path / "none.npz", "w") as archive:
        archive.writestr("readme.txt", "hello")
    for name, message in {
        "objects.npy": "Python objects",
        "columns.npy": "column by column",
        "scalar.npy": r"holds no numbers: its shape is \(\)",
        "empty.npy": r"holds no numbers: its shape is \(0, 2\)",
        "cut.npy": r"cut short: its shape is \(10, 2, 3\), for which it is too small",
        "negative.npy": r"its shape is \(-5, 2, 3\)",
        "absurd.npy": "for which it is too small",
        "text.npy": "is damaged",
        "text.npz": "is damaged: File is not a zip file",
        "none.npz": "holds no array",
        "missing.npy": "cannot be read: No such file or directory",
    }.items():
        with pytest.raises(DataError, match=message) as caught:
            read(tmp_path / name)
        assert str(caught.value).startswith(str(tmp_path / name))


def test_a_damaged_archive_is_named(tmp_path):
    """A byte of the compressed numbers is changed: the checksum tells, when they are read."""
    np.savez_compressed(tmp_path / "a.npz", images=NUMBERS)
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[200] ^= 255
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(DataError, match="a.npz is damaged"):
        read(tmp_path / "a.npz")


def test_arrays_grow_into_an_archive_that_numpy_reads(tmp_path):
    parts = (NUMBERS[:3], NUMBERS[3:])
    batches = ({"x": part, "names": [f"{len(part)} long name"] * len(part)} for part in parts)
    rows = {"x": ((2, 3), "<f4"), "names": ((), "<U20")}
    arrays.write_npz(batches, 10, rows, tmp_path / "sub" / "a.npz")
    with np.load(tmp_path / "sub" / "a.npz") as found:
        np.testing.assert_array_equal(found["x"], NUMBERS)
        assert found["names"].tolist() == ["3 long name"] * 3 + ["7 long name"] * 7
    assert [path.name for path in (tmp_path / "sub").iterdir()] == ["a.npz"]


def test_a_failure_leaves_the_earlier_file(tmp_path):
    def batches():
        yield {"x": NUMBERS[:3]}
        raise KvaeError("a bad image")

    (tmp_path / "a.npz").write_text("earlier")
    with pytest.raises(KvaeError, match="a bad image"):
        arrays.write_npz(batches(), 10, {"x": ((2, 3), "<f4")}, tmp_path / "a.npz")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a.npz", "earlier")]
