"""Check a graph's file before onnxruntime reads it: no weights in other files, and only ONNX's own operators.

An ONNX file is a protobuf message. onnxruntime follows it anywhere: into other files (external data), to operators that
someone registered, to sizes that do not fit in memory. This module walks through the bytes, without copying a weight,
by the schema of ONNX (onnx/onnx.proto), and refuses whatever kvae never writes, including unknown fields. `ort_scan`
does so for onnxruntime's own format; what a graph may hold is the same for both, in `graph_rules`.
"""

import mmap
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from kvae.bundle import foreign, ort_scan
from kvae.bundle.graph_rules import EXTENTS, MAX_RANK, Rules
from kvae.bundle.onnx_fields import FIELDS, FIXED32, FIXED64, LENGTH, VARINT
from kvae.errors import BundleError
from kvae.files.in_memory import InMemory
from kvae.files.regular import open_regular
from kvae.files.text import printable

MAX_BYTES = 2**31 - 1
"""Maximum size of a graph's file in bytes, because protobuf allows no more."""
MAX_DEPTH = 40
"""Maximum depth of nested messages: enough for ten graphs, each in an attribute of a node of the one before."""
MAX_NAME = 100
"""Bytes of a name that are read; no operator's name is as long."""


class Field(NamedTuple):
    """A field in the file."""

    number: int
    wire: int
    value: int
    """The value of a varint; for other fields, where their content starts."""
    end: int


class Scan(NamedTuple):
    """What was found in a graph that passed."""

    operators: set[str]
    opset: int
    """The version of ONNX's operators."""


def check(path: Path) -> Scan:
    """Refuse a graph that onnxruntime should not read. Files named `.ort` are read in that format.

    Apart from `graph_rules.MAX_EXTENT`, this does not limit the memory that the graph needs to run.

    Raises:
        BundleError: the file cannot be read, is not a graph, has weights in another file, has operators that are not
            ONNX's or draw noise, has a tensor whose declared size is wrong, or exceeds the limits of `graph_rules`.
    """
    try:
        with open_regular(path) as file:
            size = file.seek(0, os.SEEK_END)
            if size == 0:  # an empty file cannot be mapped
                return check_content(b"", str(path), is_ort(path))
            if size > MAX_BYTES:
                raise BundleError(f"{path} has {size:,} bytes; a graph has at most {MAX_BYTES:,}.")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return check_content(data, str(path), is_ort(path))
    except OSError as error:
        raise BundleError(f"cannot read {path}: {error.strerror}.") from None


def check_held(graph: InMemory) -> Scan:
    """`check` for a graph in memory."""
    if len(graph.content) > MAX_BYTES:
        raise BundleError(f"{graph} has {len(graph.content):,} bytes; a graph has at most {MAX_BYTES:,}.")
    return check_content(graph.content, str(graph), is_ort(graph))


def check_content(data: mmap.mmap | bytes, name: str, ort: bool) -> Scan:
    """`check` for the content of a file.

    Args:
        data: the content.
        name: what to call it in messages.
        ort: whether it is in onnxruntime's own format.
    """
    rules = Rules(name)
    is_flat = data[4:8] == ort_scan.IDENTIFIER
    if not is_flat:
        foreign.check(data[: foreign.LENGTH], name)
    elif not ort:
        raise BundleError(
            f"{name} is not an ONNX graph but one in onnxruntime's own format. Give it a name that ends in .ort."
        )
    if ort:
        ort_scan.walk(data, rules)
    else:
        _Walk(data, rules).message("model", 0, len(data))
    return Scan(rules.operators, rules.finish())


def is_ort(path: Path | InMemory) -> bool:
    """Whether a file is in onnxruntime's own format, according to its name."""
    return path.suffix.lower() == ".ort"


class _Walk:
    """One pass through a file.

    Args:
        data: its content.
        rules: what it may hold.
    """

    def __init__(self, data: mmap.mmap | bytes, rules: Rules) -> None:
        self._data = data
        self._rules = rules
        self._refusal = rules.refusal
        self._shape: list[int] = []
        """The shape read last, with 0 for sizes that have a name instead."""

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
        elif kind == "opset":
            self._rules.opset(self._text(found, 1), found[2][0].value if 2 in found else 0)
        elif kind == "end" and depth == 2:  # of the model's main graph
            self._rules.images(self._shape)
        elif kind == "model" and 7 not in found:
            raise self._refusal("does not hold a graph")

    def _check_node(self, found: dict[int, list[Field]]) -> None:
        attributes: dict[str, object] = {}
        for field in found.get(5, []):
            name, value = self._attribute(field)
            if name in attributes:
                raise self._refusal(f"has a node with two attributes {printable(name)!r}")
            attributes[name] = value
        given = [field.end > field.value for field in found.get(1, [])]
        self._rules.node(self._text(found, 7), self._text(found, 4), given, attributes)

    def _attribute(self, field: Field) -> tuple[str, int | list[int]]:
        """The name of a checked attribute, and its numbers if it is one of `EXTENTS`, or else its one integer."""
        fields = list(self._fields(field.value, field.end))
        name = self._text({item.number: [item] for item in fields}, 1)
        if name in EXTENTS:
            return name, self._sizes([item for item in fields if item.number == 8])
        return name, next((item.value for item in fields if item.number == 3), 0)

    def _check_shape(self, found: dict[int, list[Field]]) -> None:
        parts = [list(self._fields(field.value, field.end)) for field in found.get(1, [])]
        self._shape = [next((item.value for item in part if item.number == 1), 0) for part in parts]
        self._rules.shape(self._shape)

    def _check_tensor(self, found: dict[int, list[Field]]) -> None:
        name = self._text(found, 8)
        if 13 in found or any(field.value for field in found.get(14, [])):
            raise self._rules.outside(name)
        kind, dims = found[2][0].value if 2 in found else 0, self._sizes(found.get(1, []))
        if 9 in found:
            self._rules.tensor(name, kind, dims, found[9][0].end - found[9][0].value)
            return
        # one number after the other, of a byte or more each
        values = [field for number in (4, 5, 7, 10, 11) for field in found.get(number, [])]
        most = sum(field.end - field.value if field.wire == LENGTH else 1 for field in values)
        self._rules.tensor(name, kind, dims, None, most)

    def _fields(self, start: int, end: int) -> Iterator[Field]:
        """The fields of the message between two positions."""
        while start < end:
            self._rules.part()
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
        return self._data[field.value : min(field.end, field.value + MAX_NAME)].decode(errors="replace")
