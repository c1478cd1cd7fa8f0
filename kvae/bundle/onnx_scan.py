"""What a graph's file holds, seen before onnxruntime reads it: no weights elsewhere, no operators but ONNX's own.

An ONNX file is a protobuf message. onnxruntime follows what it says: into other files (external data), to operators
that someone registered, to sizes that fit no memory. Here the bytes are walked, without copying a weight, by the
schema of ONNX (onnx/onnx.proto), and what kvae never writes is refused, unknown fields included.
"""

import math
import mmap
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from kvae.bundle import operators
from kvae.bundle.manifest import open_regular
from kvae.bundle.onnx_fields import BITS, EXTENTS, FIELDS, FIXED32, FIXED64, LENGTH, VARINT
from kvae.errors import BundleError
from kvae.files.text import printable

MAX_BYTES = 2**31 - 1
"""Bytes of a graph's file: more than this no protobuf has."""
MAX_PARTS = 500_000
"""Fields of a graph in all; they cost a microsecond each. A large network has ten thousand."""
MAX_NODES = 20_000
"""Operators of a graph, subgraphs included."""
MAX_RANK = 32
"""Sizes of a tensor, and numbers of an attribute in `EXTENTS`."""
MAX_DEPTH = 40
"""Messages inside one another: some ten graphs, each in an attribute of another's node."""
ENDLESS = ("Loop", "Scan")
MAX_EXTENT = 4096
"""What a padding, stride, or size of a kernel may be; images have at most a few thousand rows."""


class Field(NamedTuple):
    """A field as it stands in the file."""

    number: int
    wire: int
    value: int
    """Of a varint its value, else where the field's content starts."""
    end: int


def check(path: Path) -> None:
    """Refuse a graph that onnxruntime should not be given. Files named `.ort` are `check_ort`'s.

    It says nothing of how much memory the graph needs to compute, apart from `MAX_EXTENT`.

    Raises:
        BundleError: no readable file, no ONNX graph, weights in another file, operators that are not ONNX's or draw
            noise, a tensor that says it is larger than it is, or a graph beyond the limits of this module.
    """
    try:
        with open_regular(path) as file:
            size = file.seek(0, os.SEEK_END)
            if not 0 < size <= MAX_BYTES:
                raise BundleError(f"{path} has {size:,} bytes; a graph has 1 to {MAX_BYTES:,}. Copy it again.")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                if is_ort(path):
                    check_ort(path, data[:8])
                else:
                    _Walk(path, data).message("model", 0, size)
    except OSError as error:
        raise BundleError(f"cannot read {path}: {error.strerror}.") from None


def is_ort(path: Path) -> bool:
    """Whether a file counts as one in onnxruntime's own format, by its name."""
    return path.suffix.lower() == ".ort"


def check_ort(path: Path, start: bytes) -> None:
    """Refuse a `.ort` file that is none, by its first bytes. onnxruntime verifies the rest itself (flatbuffers), and
    reads the weights of this format from the file alone.

    Raises:
        BundleError: the identifier of the format is missing.
    """
    if start[4:8] != b"ORTM":
        raise BundleError(f"{path} is no graph in onnxruntime's format: it lacks the mark ORTM. Export it again.")


class _Walk:
    """One walk through a file.

    Args:
        path: the file, for messages.
        data: its content.
    """

    def __init__(self, path: Path, data: mmap.mmap | bytes) -> None:
        self._path = path
        self._data = data
        self._parts = 0
        self._nodes = 0
        self._shape: list[int] = []
        """The last shape there was, with 0 for sizes that have a name instead."""
        self._side = 2**63
        """The longer side of the model's images."""
        self._window = 0
        """The largest window of a convolution or pooling, without what its padding adds to an image."""

    def message(self, kind: str, start: int, end: int, depth: int = 0) -> None:
        """Check a message, and those inside it."""
        if depth > MAX_DEPTH:
            raise self._refusal(f"holds more than {MAX_DEPTH} messages inside one another")
        if kind == "end":
            self._shape = []
        found: dict[int, list[Field]] = {}
        for field in self._fields(start, end):
            expected = FIELDS[kind].get(field.number)
            if expected is None or field.wire not in expected.wires:
                raise self._refusal(
                    f"is no ONNX graph, or has what kvae's have not: a {kind} with a field {field.number}"
                )
            if not expected.many and field.number in found:
                raise self._refusal(f"holds a {kind} with two fields {field.number}")
            found.setdefault(field.number, []).append(field)
            if expected.message:
                self.message(expected.message, field.value, field.end, depth + 1)
        if kind == "node":
            self._check_node(found)
        elif kind == "tensor":
            self._check_tensor(found)
        elif kind == "shape":
            self._check_shape(found)
        elif kind == "end" and depth == 2 and len(self._shape) == 4:  # of images, in the model's graph itself
            self._side = min(self._side, max(self._shape))
        elif kind == "model":
            self._check_model(found)

    def _check_model(self, found: dict[int, list[Field]]) -> None:
        if 7 not in found:
            raise self._refusal("holds no graph")
        # What is left of an image under a larger window has a negative size, on which onnxruntime can end the process.
        if self._window > self._side:
            raise self._refusal(f"holds a window of {self._window} pixels, more than its images have ({self._side})")

    def _check_node(self, found: dict[int, list[Field]]) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise self._refusal(f"holds more than {MAX_NODES:,} operators")
        operator = self._text(found, 4)
        if operator in ENDLESS:
            raise self._refusal(f"holds a {operator}, of which nobody can say when it ends")
        operators.check(str(self._path), [(self._text(found, 7), operator)])
        extents = dict(map(self._attribute, found.get(5, [])))
        for name in EXTENTS:
            sizes = extents.get(name, [])
            if any(abs(size) > MAX_EXTENT for size in sizes) or (name != "pads" and min(sizes, default=0) < 0):
                raise self._refusal(f"holds {name} of {max(sizes, key=abs)}, where 0 to {MAX_EXTENT} makes sense")
        kernel, pads = extents.get("kernel_shape", []), extents.get("pads", [])
        for axis, size in enumerate(kernel):
            dilation = (extents.get("dilations", []) + [1] * len(kernel))[axis]
            self._window = max(self._window, dilation * (size - 1) + 1 - sum(pads[axis :: len(kernel)]))

    def _attribute(self, field: Field) -> tuple[str, list[int]]:
        """The name of an attribute that was checked, and its numbers if it is one of `EXTENTS`."""
        fields = list(self._fields(field.value, field.end))
        name = self._text({item.number: [item] for item in fields}, 1)
        return name, self._sizes([item for item in fields if item.number == 8]) if name in EXTENTS else []

    def _check_shape(self, found: dict[int, list[Field]]) -> None:
        parts = [list(self._fields(field.value, field.end)) for field in found.get(1, [])]
        self._shape = [next((item.value for item in part if item.number == 1), 0) for part in parts]
        if max(self._shape, default=0) >= 2**63:
            raise self._refusal("holds a shape with a negative size")

    def _check_tensor(self, found: dict[int, list[Field]]) -> None:
        name = self._text(found, 8)
        if 13 in found or any(field.value for field in found.get(14, [])):
            raise self._refusal(f"keeps the tensor {name!r} in another file; a bundle's weights are in its graphs")
        bits = BITS.get(found[2][0].value if 2 in found else 0)
        if bits is None:
            raise self._refusal(f"holds a tensor {name!r} that is not of numbers")
        dims = self._sizes(found.get(1, []))
        count = math.prod(dims)
        if 9 in found:
            fits = (count * bits + 7) // 8 == found[9][0].end - found[9][0].value
        else:  # numbers one by one: a byte each, or more
            values = [field for number in (4, 5, 7, 10, 11) for field in found.get(number, [])]
            fits = count <= sum(field.end - field.value if field.wire == LENGTH else 1 for field in values)
        if not fits or min(dims, default=0) < 0:
            raise self._refusal(f"holds a tensor {name!r} of the shape {dims}, for which it has too few or many bytes")

    def _fields(self, start: int, end: int) -> Iterator[Field]:
        """The fields of the message that stands there."""
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
                raise self._refusal(f"is no ONNX graph, or damaged: byte {start} begins nothing that is known")
            if length > end - start:
                raise self._refusal(f"is no ONNX graph, or cut short: {length} bytes are missing at byte {start}")
            yield Field(number, wire, start, start + length)
            start += length

    def _varint(self, start: int, end: int) -> tuple[int, int]:
        """The number that stands there in groups of seven bits, and where it ends."""
        value = 0
        for shift in range(0, 70, 7):
            if start == end:
                break
            byte = self._data[start]
            start += 1
            value |= (byte & 127) << shift
            if byte < 128:
                return value % 2**64, start
        raise self._refusal(f"is no ONNX graph, or damaged: there is no number at byte {start}")

    def _sizes(self, fields: list[Field]) -> list[int]:
        """The signed numbers of a repeated field, one by one or packed."""
        values = [field.value for field in fields if field.wire == VARINT]
        for field in fields:
            start = field.value
            while field.wire == LENGTH and start < field.end and len(values) <= MAX_RANK:
                value, start = self._varint(start, field.end)
                values.append(value)
        if len(values) > MAX_RANK:
            raise self._refusal(f"holds more than {MAX_RANK} sizes of a tensor or a kernel")
        return [value if value < 2**63 else value - 2**64 for value in values]

    def _text(self, found: dict[int, list[Field]], number: int) -> str:
        if number not in found:
            return ""
        field = found[number][0]
        text = self._data[field.value : min(field.end, field.value + 100)].decode(errors="replace")
        return printable(text)

    def _refusal(self, reason: str) -> BundleError:
        return BundleError(f"{self._path} {reason}. Export it again, or ask who made it.")
