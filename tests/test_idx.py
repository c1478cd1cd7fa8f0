"""The idx reader against bytes written by hand."""

import gzip

import numpy as np
import pytest

from kvae import idx
from kvae.errors import DataError

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
    (tmp_path / "a.gz").write_bytes(gzip.compress(CONTENT))
    assert idx.read_bytes(tmp_path / "a", 100) == idx.read_bytes(tmp_path / "a.gz", 100) == CONTENT


def test_reading_stops_behind_the_limit(tmp_path):
    """A small gzip file that unpacks to gigabytes takes no memory."""
    (tmp_path / "a.gz").write_bytes(gzip.compress(bytes(10_000_000)))
    assert len(idx.read_bytes(tmp_path / "a.gz", 1000)) == 1001


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (gzip.compress(CONTENT)[:-4], "truncated"),
        (gzip.compress(CONTENT)[:5], "truncated"),
        (b"<html>not found</html>", "damaged"),
        (gzip.compress(CONTENT)[:12] + b"\xff\xff\xff\xff" + gzip.compress(CONTENT)[16:], "damaged"),
    ],
)
def test_a_damaged_gzip_file_is_named(tmp_path, content, reason):
    (tmp_path / "a.gz").write_bytes(content)
    with pytest.raises(DataError, match=reason):
        idx.read_bytes(tmp_path / "a.gz", 100)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match="No such file"):
        idx.read_bytes(tmp_path / "a", 100)
