"""Arrays in files: numpy's files are read row by row, numpy reads ours, and errors name bad files."""

import os
import zipfile

import numpy as np
import pytest

from kvae.errors import DataError, KvaeError
from kvae.files import arrays

NUMBERS = np.random.default_rng(0).normal(size=(10, 2, 3)).astype(np.float32)


def read(path, names=("images",), count=4):
    return np.concatenate(list(arrays.open_array(path, names).rows(count)))


@pytest.mark.parametrize("array", [NUMBERS, NUMBERS.astype(">f8"), np.arange(7)], ids=str)
def test_a_npy_is_read_like_numpy_reads_it(tmp_path, array):
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


def test_the_error_names_a_file_that_cannot_be_read(tmp_path):
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
        "cut.npy": r"cut short: .* too small for its shape \(10, 2, 3\)",
        "negative.npy": r"shape \(-5, 2, 3\)",
        "absurd.npy": "too small for its shape",
        "text.npy": "is damaged",
        "text.npz": "is damaged: File is not a zip file",
        "none.npz": "holds no array",
        "missing.npy": "cannot be read: No such file or directory",
    }.items():
        with pytest.raises(DataError, match=message) as caught:
            read(tmp_path / name)
        assert str(caught.value).startswith(str(tmp_path / name))


def header(path, text, version=b"\x01\x00"):
    """A .npy with this header, followed by 1000 bytes."""
    width = 2 if version == b"\x01\x00" else 4
    path.write_bytes(b"\x93NUMPY" + version + len(text).to_bytes(width, "little") + text + bytes(1000))
    return path


@pytest.mark.parametrize(
    "text",
    [
        b"{'descr': '|u1', 'fortran_order': False, 'shape': (9,), ",  # a bracket that is never closed
        b"{'descr': '|u1', 'fortran_order': False, 'shape': (9,), 'x': __import__('os').getpid()}",
        b"{'descr': '|u1', 'fortran_order': False, 'shape': (" + b"9" * 5000 + b",)}",
        b"{'descr': '|u1', 'fortran_order': False, 'shape': " + b"(" * 900 + b")" * 900 + b"}",
        b"{'descr': '|u1', 'fortran_order': False, 'shape': (9,)}" + b" " * 20_000,
        b"{'descr': 'nonsense', 'fortran_order': False, 'shape': (9,)}",
        b"\xff" * 60,
        b"",
    ],
    ids=lambda text: text[-20:].decode("latin-1"),
)
@pytest.mark.parametrize("version", [b"\x01\x00", b"\x03\x00"])
def test_an_invalid_header_is_an_error_of_one_line(tmp_path, text, version):
    """numpy reads headers as Python literals, and rewrites those of old versions token by token."""
    with pytest.raises(DataError, match="a.npy is damaged: its header cannot be read") as caught:
        arrays.open_array(header(tmp_path / "a.npy", text, version), ())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("descr", ["|u1", "|V0", "<U0"])
def test_rows_without_numbers_are_refused(tmp_path, descr):
    """A billion billion empty rows take no bytes, and would take forever to read."""
    shape = f"({10**18}, 0)" if descr == "|u1" else f"({10**18},)"
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}}}".encode()
    with pytest.raises(DataError, match="holds no numbers: its shape is"):
        arrays.open_array(header(tmp_path / "a.npy", text), ())


def test_an_archive_with_too_many_members_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        for index in range(20_000):
            archive.writestr(f"{index}.npy", b"")
    with pytest.raises(DataError, match="a.npz is damaged: it has too many members"):
        arrays.open_array(tmp_path / "a.npz", ("images",))


def test_a_member_that_is_shorter_than_the_archive_says_is_refused(tmp_path):
    """The sizes in an archive's list are not trusted: it and the array say 4 GB, but there are 1000 bytes."""
    text = b"{'descr': '|u1', 'fortran_order': False, 'shape': (100000000, 12)}"
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("images.npy", header(tmp_path / "a.npy", text).read_bytes())
    content = bytearray((tmp_path / "a.npz").read_bytes())
    size = content.rindex(b"PK\x01\x02") + 24
    content[size : size + 4] = (2**32 - 2).to_bytes(4, "little")
    (tmp_path / "a.npz").write_bytes(content)
    assert arrays.open_array(tmp_path / "a.npz", ()).shape == (10**8, 12)
    with pytest.raises(DataError, match="a.npz is cut short: it ends in row 83"):
        read(tmp_path / "a.npz", count=10**6)


def test_a_pipe_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe.npz")
    with pytest.raises(DataError, match="pipe.npz cannot be read: it is not a regular file"):
        arrays.open_array(tmp_path / "pipe.npz", ())


def test_a_damaged_archive_is_named(tmp_path):
    """A byte of the compressed numbers is changed, which the checksum shows when they are read."""
    np.savez_compressed(tmp_path / "a.npz", images=NUMBERS)
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[200] ^= 255
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(DataError, match="a.npz is damaged"):
        read(tmp_path / "a.npz")


def test_numpy_reads_an_archive_that_was_written_row_by_row(tmp_path):
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
