"""The file of compressed images, .kvz: a header that says what it takes to decode it, and blocks.

| bytes | what |
|---|---|
| 8 | 89 4B 56 5A 0D 0A 1A 0A |
| 4, 4 | the length of the header, and its CRC-32 |
| length | the header, JSON in UTF-8: the fields of `Header` |
| 32, ... | for each block its head, and its words, four bytes each, the top of the stack last |

A head is the number of images, of words and of initial words, the CRC-32 of the head (with zeros for it) and the words,
and the first 16 bytes of the images' BLAKE2b. All integers are little-endian, of 32 bits.
"""

import hashlib
import json
import math
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from io import BufferedReader
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kvae.compression import codes
from kvae.compression.coder import CODINGS
from kvae.errors import DataError
from kvae.files import json_text
from kvae.files.regular import open_regular
from kvae.files.text import printable

MAGIC = b"\x89KVZ\r\n\x1a\n"
VERSION = 1
MAX_HEADER = 2**16
MAX_BLOCK = 4096
"""The most images in a block. Each block begins a stack, which costs some 900 bytes."""
MAX_BLOCK_BYTES = 2**25
"""The most bytes of pixels in a block, unless it is one image; a block is held in memory."""
MAX_BATCH = 256
MAX_IMAGE = 2**22
"""The most numbers in an image, as in a bundle."""
_HEAD = struct.Struct("<IIII16s")
_NUMBER = struct.Struct("<I")


@dataclass(frozen=True, kw_only=True)
class Header:
    """What it takes to decode a file."""

    format_version: int = VERSION
    kvae_version: str
    coding: str
    """One of `CODINGS`."""
    portable: bool
    """Whether it says where rounding was close; see `kvae.compression.rounding`."""
    graphs: dict[str, str]
    """The sha256 of each graph of the bundle by its name, such as "decoder"."""
    image_shape: list[int]
    """`[height, width, channels]`."""
    count: int
    """Images in the file."""
    block: int
    """Images in each block but the last."""
    batch: int
    """Images in each call of a graph; the last of a block is padded to it."""
    precision: int
    """Codes are in bins 2^-precision wide."""
    reach: int
    """From -2^reach to 2^reach."""
    machine: dict[str, str]
    """What computed the probabilities: "onnxruntime" and "constriction", their versions, and "processor"."""

    def check(self) -> None:
        """Raise ValueError, with the field, if a value is not possible."""
        sizes = self.image_shape
        texts = [self.kvae_version, *self.graphs.values(), *self.machine.values()]
        checks = {
            "format_version": _is_count(self.format_version),
            "coding": self.coding in CODINGS,
            "portable": isinstance(self.portable, bool),
            "graphs": all(isinstance(text, str) and len(text) <= 200 for text in texts),
            "image_shape": len(sizes) == 3 and all(map(_is_count, sizes)) and math.prod(sizes) <= MAX_IMAGE,
            "count": _is_count(self.count) and self.count < 2**53,
            "block": _is_count(self.block) and self.block <= block_size(sizes),
            "batch": _is_count(self.batch) and self.batch <= MAX_BATCH,
            "precision": _is_within(self.precision, codes.PRECISIONS),
            "reach": _is_within(self.reach, codes.REACHES) and self.precision + self.reach <= codes.MOST,
        }
        for name, passed in checks.items():
            if not passed:
                raise ValueError(name)


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 1


def _is_within(value: Any, bounds: tuple[int, int]) -> bool:
    return type(value) is int and bounds[0] <= value <= bounds[1]


class Block(NamedTuple):
    """Some images on a stack."""

    images: int
    words: NDArray[np.uint32]
    initial: int
    """The words that the stack began with."""
    digest: bytes
    """Of the images' bytes; see `digest`."""


def block_size(image_shape: list[int]) -> int:
    """The images of a block."""
    return int(np.clip(MAX_BLOCK_BYTES // math.prod(image_shape), 1, MAX_BLOCK))


def digest(images: NDArray[np.uint8]) -> bytes:
    """The checksum of images, in C order."""
    return hashlib.blake2b(np.ascontiguousarray(images).data, digest_size=16).digest()


def write_header(file: IO[bytes], header: Header) -> None:
    """Write the beginning of a file."""
    text = json_text.dumps(asdict(header)).encode()
    file.write(MAGIC + _NUMBER.pack(len(text)) + _NUMBER.pack(zlib.crc32(text)) + text)


def write_block(file: IO[bytes], block: Block) -> None:
    """Write the next block."""
    content = block.words.astype("<u4").tobytes()
    checksum = zlib.crc32(content, zlib.crc32(_head(block, 0)))
    file.write(_head(block, checksum) + content)


def _head(block: Block, checksum: int) -> bytes:
    return _HEAD.pack(block.images, len(block.words), block.initial, checksum, block.digest)


class Reader:
    """A file being read. Use it in a `with` statement.

    Args:
        path: the file.

    Raises:
        DataError: there is no such file, it is not one of kvae's, or it is damaged; also while it is read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file: BufferedReader = open_regular(path)
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror or error}.") from None
        try:
            self.size = os.fstat(self._file.fileno()).st_size
            self.header = self._read_header()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> "Reader":
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def blocks(self) -> Iterator[Block]:
        """The blocks in order, each with its checksum checked."""
        left = self.header.count
        while left:
            count, words, initial, checksum, sum_of_images = _HEAD.unpack(self._read(_HEAD.size))
            if count != min(left, self.header.block):
                raise self._damaged(f"a block holds {count:,} images instead of {min(left, self.header.block):,}")
            if 4 * words > self.size - self._file.tell():
                raise self._damaged("it ends too early")
            content = self._read(4 * words)
            block = Block(count, np.frombuffer(content, "<u4").astype(np.uint32), initial, sum_of_images)
            if zlib.crc32(content, zlib.crc32(_head(block, 0))) != checksum:
                raise self._damaged("the checksum of a block is wrong")
            yield block
            left -= count
        if self._file.read(1):
            raise self._damaged("something follows its last block")

    def _read_header(self) -> Header:
        if self._file.read(len(MAGIC)) != MAGIC:
            raise DataError(f"{self.path} is not a file that kvae compress wrote.")
        length, checksum = (_NUMBER.unpack(self._read(4))[0] for _ in range(2))
        if length > MAX_HEADER:
            raise self._damaged("its header is too long")
        text = self._read(length)
        if zlib.crc32(text) != checksum:
            raise self._damaged("the checksum of its header is wrong")
        try:
            values = json.loads(text)
            version = values["format_version"]
            if type(version) is int and version > VERSION:
                raise DataError(
                    f"{self.path} has format {version}, and this kvae reads up to {VERSION}: use a newer kvae."
                )
            header = Header(**{field.name: values[field.name] for field in fields(Header)})
            header.check()
            return header
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise self._damaged(f"its header is wrong ({printable(error, 60)})") from None

    def _read(self, size: int) -> bytes:
        try:
            found = self._file.read(size)
        except OSError as error:
            raise DataError(f"{self.path} cannot be read: {error.strerror or error}.") from None
        if len(found) < size:
            raise self._damaged("it ends too early")
        return found

    def _damaged(self, reason: str) -> DataError:
        return DataError(f"{self.path} is damaged: {reason}. Copy it again.")
