"""The idx reader against bytes written by hand."""

import gzip

import numpy as np
import pytest

from kvae.errors import DataError
from kvae.files import idx

ARRAY = np.arange(12, dtype=np.uint8).reshape(2, 3, 2)
CONTENT = bytes.fromhex("00000803 00000002 00000003 00000002") + bytes(range(12))


def test_parse_and_to_bytes_are_inverse():
    assert idx.to_bytes(ARRAY) == CONTENT
    np.testing.assert_array_equal(idx.parse(CONTENT, (2, 3, 2)), ARRAY)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "magic number is 0x00000000"),
        (b"\x00\x00\x0d\x03" + CONTENT[4:], "magic number is 0x00000d03, expected 0x00000803"),
        (CONTENT[:12], "its shape is"),
        (CONTENT[:4] + b"\x00\x00\x00\x05" + CONTENT[8:], r"shape is \(5, 3, 2\), expected \(2, 3, 2\)"),
        (CONTENT[:-1], "holds 11 values, expected 12"),
        (CONTENT + b"x", "holds 13 values, expected 12"),
    ],
)
def test_damage_is_named(content, reason):
    with pytest.raises(DataError, match=reason):
        idx.parse(content, (2, 3, 2))


def test_files_are_read_plain_or_gzipped(tmp_path):
    (tmp_path / "a").write_bytes(CONTENT)
    (tmp_path / "a.gz").write_bytes(gzip.compress(CONTENT, mtime=0))
    assert idx.read_bytes(tmp_path / "a", 100) == idx.read_bytes(tmp_path / "a.gz", 100) == CONTENT


def test_reading_stops_after_the_limit(tmp_path):
    """So that a small gzip file that unpacks to gigabytes does not fill the memory."""
    (tmp_path / "a.gz").write_bytes(gzip.compress(bytes(10_000_000)))
    assert len(idx.read_bytes(tmp_path / "a.gz", 1000)) == 1001


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (gzip.compress(CONTENT, mtime=0)[:-4], "truncated"),
        (gzip.compress(CONTENT, mtime=0)[:5], "truncated"),
        (b"<html>not found</html>", "damaged"),
        (gzip.compress(CONTENT, mtime=0)[:12] + b"\xff\xff\xff\xff" + gzip.compress(CONTENT, mtime=0)[16:], "damaged"),
    ],
)
def test_a_damaged_gzip_file_is_named(tmp_path, content, reason):
    (tmp_path / "a.gz").write_bytes(content)
    with pytest.raises(DataError, match=reason):
        idx.read_bytes(tmp_path / "a.gz", 100)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match="No such file"):
        idx.read_bytes(tmp_path / "a", 100)


# Files of any shape, a few rows at a time


@pytest.mark.parametrize("name", ["a", "a.gz"])
def test_rows_come_a_few_at_a_time(tmp_path, name):
    (tmp_path / name).write_bytes(gzip.compress(CONTENT, mtime=0) if name == "a.gz" else CONTENT)
    found = idx.open_idx(tmp_path / name)
    assert (found.shape, found.dtype) == ((2, 3, 2), np.uint8)
    assert [len(rows) for rows in found.rows(1)] == [1, 1]
    np.testing.assert_array_equal(np.concatenate(list(found.rows(1))), ARRAY)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not an idx file of bytes: it begins with 0x$"),
        (b"PK\x03\x04....", "not an idx file of bytes: it begins with 0x504b0304"),
        (b"\x00\x00\x0d\x03" + CONTENT[4:], "not an idx file of bytes"),
        (b"\x00\x00\x08\x00", "not an idx file of bytes"),
        (b"\x00\x00\x08\x09" + bytes(100), "it has 9 dimensions; images have 3 or 4"),
        (CONTENT[:10], "its shape is missing"),
        (CONTENT[:4] + bytes(4) + CONTENT[8:], r"holds no rows: its shape is \(0, 3, 2\)"),
        (CONTENT[:-1], r"a is cut short: .* shape \(2, 3, 2\)"),
    ],
)
def test_the_error_names_the_file_and_what_is_wrong(tmp_path, content, reason):
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(DataError, match=reason.replace("$", r"\.")) as caught:
        list(idx.open_idx(tmp_path / "a").rows(5))
    assert str(caught.value).startswith(str(tmp_path / "a"))


def test_a_gzip_stream_that_is_cut_short_is_refused(tmp_path):
    (tmp_path / "a.gz").write_bytes(gzip.compress(CONTENT, mtime=0)[:-20])
    with pytest.raises(DataError, match="a.gz: the file is truncated"):
        list(idx.open_idx(tmp_path / "a.gz").rows(5))


def test_a_compressed_file_that_is_shorter_than_it_says_is_refused(tmp_path):
    (tmp_path / "a.gz").write_bytes(gzip.compress(CONTENT[:-1]))
    with pytest.raises(DataError, match="a.gz: it is cut short: it ends in row 1"):
        list(idx.open_idx(tmp_path / "a.gz").rows(5))
