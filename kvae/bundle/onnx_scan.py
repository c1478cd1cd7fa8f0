"""Check a graph's file before onnxruntime reads it: no weights in other files, and only ONNX's own operators.

An ONNX file is a protobuf message. onnxruntime follows it anywhere: into other files (external data), to operators that
someone registered, to sizes that do not fit in memory. This module walks through the bytes, without copying a weight,
by the schema of ONNX (onnx/onnx.proto), and refuses whatever kvae never writes, including unknown fields.
"""

import math
import mmap
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from kvae.bundle import operators
from kvae.bundle.onnx_fields import BITS, EXTENTS, FIELDS, FIXED32, FIXED64, LENGTH, VARINT
from kvae.errors import BundleError
from kvae.files.in_memory import InMemory
from kvae.files.regular import open_regular
from kvae.files.text import printable

MAX_BYTES = 2**31 - 1
"""Maximum size of a graph's file in bytes, because protobuf allows no more."""
MAX_PARTS = 500_000
"""Maximum number of fields of a graph; each takes a microsecond. A large network has ten thousand."""
MAX_NODES = 20_000
"""Maximum number of operators of a graph, including subgraphs."""
MAX_RANK = 32
"""Maximum number of sizes of a tensor, and numbers in an attribute of `EXTENTS`."""
MAX_DEPTH = 40
"""Maximum depth of nested messages: enough for ten graphs, each in an attribute of a node of the one before."""
ENDLESS = ("Loop", "Scan")
MAX_EXTENT = 4096
"""Largest padding, stride or kernel size; images have at most a few thousand rows."""


class Field(NamedTuple):
    """A field in the file."""

    number: int
    wire: int
    value: int
    """The value of a varint; for other fields, where their content starts."""
    end: int


def check(path: Path) -> None:
    """Refuse a graph that onnxruntime should not read. Files named `.ort` are checked by `check_ort`.

    Apart from `MAX_EXTENT`, this does not limit the memory that the graph needs to run.

    Raises:
        BundleError: the file cannot be read, is not an ONNX graph, has weights in another file, has operators that are
            not ONNX's or draw noise, has a tensor whose declared size is wrong, or exceeds the limits of this module.
    """
    try:
        with open_regular(path) as file:
            size = file.seek(0, os.SEEK_END)
            if not 0 < size <= MAX_BYTES:
                raise BundleError(f"{path} has {size:,} bytes; a graph has from 1 to {MAX_BYTES:,}. Copy it again.")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                _check(path, data)
    except OSError as error:
        raise BundleError(f"cannot read {path}: {error.strerror}.") from None


def check_held(graph: InMemory) -> None:
    """`check` for a graph in memory."""
    if not 0 < len(graph.content) <= MAX_BYTES:
        raise BundleError(f"{graph} has {len(graph.content):,} bytes; a graph has from 1 to {MAX_BYTES:,}.")
    _check(graph, graph.content)


def _check(path: Path | InMemory, data: mmap.mmap | bytes) -> None:
    if is_ort(path):
        check_ort(path, data[:8])
    else:
        _Walk(path, data).message("model", 0, len(data))


def is_ort(path: Path | InMemory) -> bool:
    """Whether a file is in onnxruntime's own format, according to its name."""
    return path.suffix.lower() == ".ort"


def check_ort(path: Path | InMemory, start: bytes) -> None:
    """Refuse a `.ort` file with the wrong first bytes. onnxruntime verifies the rest itself (flatbuffers), and reads
    the weights of this format only from the file itself.

    Raises:
        BundleError: the identifier of the format is missing.
    """
    if start[4:8] != b"ORTM":
        raise BundleError(
            f"{path} is not a graph in onnxruntime's format: it lacks the identifier ORTM. Export it again."
        )


class _Walk:
    """One pass through a file.

    Args:
        path: the file, for messages.
        data: its content.
    """

    def __init__(self, path: Path | InMemory, data: mmap.mmap | bytes) -> None:
        self._path = path
        self._data = data
        self._parts = 0
        self._nodes = 0
        self._shape: list[int] = []
        """The shape read last, with 0 for sizes that have a name instead."""
        self._side = 2**63
        """The longer side of the model's images."""
        self._window = 0
        """The largest window of a convolution or pooling, less the padding."""

    def message(self, kind: str, start: int, end: int, depth: int = 0) -> None:
        """Check a message and the messages inside it."""
        if depth > MAX_DEPTH:
            raise self._refusal(f"has messages nested more than {MAX_DEPTH} deep")
        if kind == "end":
            self._shape = []
        found: dict[int, list[Field]] = {}
        for field in self._fields(start, end):
            expected = FIELDS[kind].get(field.number)
            if expected is None or field.wire not in expected.wires:
                raise self._refusal(
                    f"is not an ONNX graph, or not one that kvae can have written: a {kind} has a field {field.number}"
                )
            if not expected.many and field.number in found:
                raise self._refusal(f"has a {kind} with two fields {field.number}")
            found.setdefault(field.number, []).append(field)
            if expected.message:
                self.message(expected.message, field.value, field.end, depth + 1)
        if kind == "node":
            self._check_node(found)
        elif kind == "tensor":
            self._check_tensor(found)
        elif kind == "shape":
            self._check_shape(found)
        elif kind == "end" and depth == 2 and len(self._shape) == 4:  # images, in the model's main graph
            self._side = min(self._side, max(self._shape))
        elif kind == "model":
            self._check_model(found)

    def _check_model(self, found: dict[int, list[Field]]) -> None:
        if 7 not in found:
            raise self._refusal("does not hold a graph")
        # A window larger than the image leaves a negative size, on which onnxruntime can end the process.
        if self._window > self._side:
            raise self._refusal(f"has a window of {self._window} pixels, more than its images have ({self._side})")

    def _check_node(self, found: dict[int, list[Field]]) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise self._refusal(f"has more than {MAX_NODES:,} operators")
        operator = self._text(found, 4)
        if operator in ENDLESS:
            raise self._refusal(f"has a {operator}, which may never end")
        operators.check(str(self._path), [(self._text(found, 7), operator)])
        extents = dict(map(self._attribute, found.get(5, [])))
        for name in EXTENTS:
            sizes = extents.get(name, [])
            if any(abs(size) > MAX_EXTENT for size in sizes) or (name != "pads" and min(sizes, default=0) < 0):
                raise self._refusal(f"has {name} of {max(sizes, key=abs)}; expected 0 to {MAX_EXTENT}")
        kernel, pads = extents.get("kernel_shape", []), extents.get("pads", [])
        for axis, size in enumerate(kernel):
            dilation = (extents.get("dilations", []) + [1] * len(kernel))[axis]
            self._window = max(self._window, dilation * (size - 1) + 1 - sum(pads[axis :: len(kernel)]))

    def _attribute(self, field: Field) -> tuple[str, list[int]]:
        """The name of a checked attribute, and its numbers if it is one of `EXTENTS`."""
        fields = list(self._fields(field.value, field.end))
        name = self._text({item.number: [item] for item in fields}, 1)
        return name, self._sizes([item for item in fields if item.number == 8]) if name in EXTENTS else []

    def _check_shape(self, found: dict[int, list[Field]]) -> None:
        parts = [list(self._fields(field.value, field.end)) for field in found.get(1, [])]
        self._shape = [next((item.value for item in part if item.number == 1), 0) for part in parts]
        if max(self._shape, default=0) >= 2**63:
            raise self._refusal("has a shape with a negative size")

    def _check_tensor(self, found: dict[int, list[Field]]) -> None:
        name = self._text(found, 8)
        if 13 in found or any(field.value for field in found.get(14, [])):
            raise self._refusal(f"keeps the tensor {name!r} in another file; a bundle's weights are in its graphs")
        bits = BITS.get(found[2][0].value if 2 in found else 0)
        if bits is None:
            raise self._refusal(f"has a tensor {name!r} that does not hold numbers")
        dims = self._sizes(found.get(1, []))
        count = math.prod(dims)
        if 9 in found:
            fits = (count * bits + 7) // 8 == found[9][0].end - found[9][0].value
        else:  # one number after the other, of a byte or more each
            values = [field for number in (4, 5, 7, 10, 11) for field in found.get(number, [])]
            fits = count <= sum(field.end - field.value if field.wire == LENGTH else 1 for field in values)
        if not fits or min(dims, default=0) < 0:
            raise self._refusal(f"has a tensor {name!r} whose number of bytes does not fit its shape {dims}")

    def _fields(self, start: int, end: int) -> Iterator[Field]:
        """The fields of the message between two positions."""
        while start < end:
            self._parts += 1
            if self._parts > MAX_PARTS:
                raise self._refusal(f"has more than {MAX_PARTS:,} parts")
            tag, start = self._varint(start, end)
            number, wire = tag >> 3, tag & 7
            if wire == VARINT:
                value, start = self._varint(start, end)
                yield Field(number, wire, value, start)
                continue
            if wire == LENGTH:
                length, start = self._varint(start, end)
            elif wire in (FIXED32, FIXED64):
                length = 4 if wire == FIXED32 else 8
            else:
                raise self._refusal(
                    f"is not an ONNX graph, or is damaged: byte {start} begins an unknown kind of field"
                )
            if length > end - start:
                raise self._refusal(
                    f"is not an ONNX graph, or is cut short: there are fewer than {length} bytes after byte {start}"
                )
            yield Field(number, wire, start, start + length)
            start += length

    def _varint(self, start: int, end: int) -> tuple[int, int]:
        """The number at a position, which is stored in groups of seven bits, and where it ends."""
        value = 0
        for shift in range(0, 70, 7):
            if start == end:
                break
            byte = self._data[start]
            start += 1
            value |= (byte & 127) << shift
            if byte < 128:
                return value % 2**64, start
        raise self._refusal(f"is not an ONNX graph, or is damaged: there is no number at byte {start}")

    def _sizes(self, fields: list[Field]) -> list[int]:
        """The signed numbers of a repeated field, packed or not."""
        values = [field.value for field in fields if field.wire == VARINT]
        for field in fields:
            start = field.value
            while field.wire == LENGTH and start < field.end and len(values) <= MAX_RANK:
                value, start = self._varint(start, field.end)
                values.append(value)
        if len(values) > MAX_RANK:
            raise self._refusal(f"has a tensor or a kernel with more than {MAX_RANK} sizes")
        return [value if value < 2**63 else value - 2**64 for value in values]

    def _text(self, found: dict[int, list[Field]], number: int) -> str:
        if number not in found:
            return ""
        field = found[number][0]
        text = self._data[field.value : min(field.end, field.value + 100)].decode(errors="replace")
        return printable(text)

    def _refusal(self, reason: str) -> BundleError:
        return BundleError(f"{self._path} {reason}. Export it again, or ask whoever made it.")
