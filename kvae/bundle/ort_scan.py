"""Walk through a graph in onnxruntime's own format (`.ort`), as `onnx_scan` does through an ONNX file.

The format is a FlatBuffer: tables of fields, found by offsets. A table starts with the distance back to its list of
field offsets; strings, vectors and other tables lie at a distance ahead of the field that refers to them. The tables
and their fields are those of onnxruntime/core/flatbuffers/schema/ort.fbs; fields that kvae's own files lack are
refused. onnxruntime checks by itself that all offsets stay in the file.

Reference: FlatBuffers, Internals, https://flatbuffers.dev/internals/
"""

import mmap
import struct
from collections.abc import Iterator

from kvae.bundle.graph_rules import EXTENTS, MAX_NODES, MAX_RANK, Rules
from kvae.files.text import printable

IDENTIFIER = b"ORTM"
MAX_DEPTH = 10
"""Maximum depth of graphs, each in an attribute of a node of the one before."""
MAX_NAME = 100
"""Bytes of a name that are read for a rule or a message; no operator's name is as long."""
MAX_VALUE_NAME = 10_000
"""Bytes of a value's name that are read, to find the shapes of the model's inputs and outputs."""
TENSOR = 1
"""The kind of a type: a tensor, not a sequence or a map."""
PRIMITIVE = 0
"""The kind of a node that is an operator, not a part that an execution provider compiled."""
PROVIDERS = ("", "CPUExecutionProvider")
"""Where a node may say that it runs; onnxruntime decides anew on the machine that loads it."""
FIELDS = {
    "file": ("version", "model", "", "kernels"),
    "model": (
        "ir_version", "opsets", "producer", "producer_version", "domain", "model_version", "doc", "graph", "graph_doc",
        "metadata",
    ),
    "opset": ("domain", "version"),
    "graph": (
        "tensors", "values", "nodes", "max_node_index", "edges", "inputs", "outputs", "sparse_tensors", "optimizations",
    ),
    "value": ("name", "doc", "type"),
    "type": ("denotation", "kind", "value"),
    "tensor type": ("element", "shape"),
    "shape": ("sizes",),
    "size": ("value", "denotation"),
    "size value": ("kind", "value", "name"),
    "node": (
        "name", "doc", "domain", "since", "index", "operator", "kind", "provider", "inputs", "outputs", "attributes",
        "input_counts", "implicit_inputs",
    ),
    "edges": ("index", "in", "out"),
    "attribute": (
        "name", "doc", "kind", "float", "int", "text", "tensor", "graph", "floats", "ints", "texts", "tensors",
        "graphs",
    ),
    "tensor": ("name", "doc", "sizes", "kind", "bytes", "texts", "outside"),
}  # fmt: skip
"""The fields of each table, in the order of the schema; "" is one that onnxruntime no longer writes."""
REFUSED = {("file", ""), ("graph", "sparse_tensors"), ("graph", "optimizations"), ("tensor", "texts")}
"""Fields that must be empty."""


def walk(data: mmap.mmap | bytes, rules: Rules) -> None:
    """Ask the rules about everything in a graph.

    Args:
        data: the content of the file.
        rules: what it may hold; they raise BundleError.
    """
    if data[4:8] != IDENTIFIER:
        raise rules.refusal(f"is not a graph in onnxruntime's format: it lacks the identifier {IDENTIFIER.decode()}")
    _Walk(data, rules).file()


class _Walk:
    """One pass through a file; arguments as for `walk`. A table is where it starts, a field where its value lies."""

    def __init__(self, data: mmap.mmap | bytes, rules: Rules) -> None:
        self._data = data
        self._size = len(data)
        self._rules = rules

    def file(self) -> None:
        """The whole file."""
        model = self._inner(self._table("file", self._ahead(0)), "model")
        if model is None:
            raise self._rules.refusal("does not hold a graph")
        fields = self._table("model", model)
        for opset in self._tables(fields, "opsets"):
            parts = self._table("opset", opset)
            self._rules.opset(self._text(parts, "domain"), self._number(parts, "version", "<q"))
        graph = self._inner(fields, "graph")
        if graph is None:
            raise self._rules.refusal("does not hold a graph")
        self._graph(graph, 0)

    def _graph(self, start: int, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise self._rules.refusal(f"has graphs nested more than {MAX_DEPTH} deep")
        fields = self._table("graph", start)
        for tensor in self._tables(fields, "tensors"):
            self._tensor(tensor)
        shapes = dict(map(self._value, self._tables(fields, "values")))
        if depth == 0:
            for end in ("inputs", "outputs"):
                for name in self._texts(fields, end):
                    self._rules.images(shapes.get(name, []))
        # onnxruntime makes room for as many nodes as there are indices, and follows the edges to them.
        limit = self._number(fields, "max_node_index", "<I")
        if limit > MAX_NODES:
            raise self._rules.refusal(f"has more than {MAX_NODES:,} operators")
        indices = [self._node(node, depth) for node in self._tables(fields, "nodes")]
        if len(set(indices)) < len(indices) or max(indices, default=-1) >= limit:
            raise self._rules.refusal("is damaged: the indices of its nodes are wrong")
        known = set(indices)
        for edges in self._tables(fields, "edges"):
            self._edges(self._table("edges", edges), known)

    def _edges(self, fields: dict[str, int], known: set[int]) -> None:
        found = [self._number(fields, "index", "<I")]
        for end in ("in", "out"):
            found += [struct.unpack_from("<I", self._data, at)[0] for at in self._vector(fields, end, 12)]
        if not known.issuperset(found):
            raise self._rules.refusal("is damaged: an edge leads to a node that it does not have")

    def _node(self, start: int, depth: int) -> int:
        """Check a node; returns its index."""
        fields = self._table("node", start)
        if self._number(fields, "kind", "<i") != PRIMITIVE:
            raise self._rules.refusal("has a node that is compiled, not an operator")
        provider = self._text(fields, "provider")
        if provider not in PROVIDERS:
            raise self._rules.refusal(f"has a node for {printable(provider)}; expected {PROVIDERS[1]}")
        attributes: dict[str, object] = {}
        for attribute in self._tables(fields, "attributes"):
            name, value = self._attribute(attribute, depth)
            if name in attributes:
                raise self._rules.refusal(f"has a node with two attributes {printable(name)!r}")
            attributes[name] = value
        given = [bool(name) for name in self._texts(fields, "inputs")]
        counts = [struct.unpack_from("<i", self._data, at)[0] for at in self._vector(fields, "input_counts", 4)]
        if min(counts, default=0) < 0 or sum(counts) != len(given):
            raise self._rules.refusal("is damaged: a node has another number of inputs than it says")
        self._rules.node(self._text(fields, "domain"), self._text(fields, "operator"), given, attributes)
        return self._number(fields, "index", "<I")

    def _attribute(self, start: int, depth: int) -> tuple[str, int | list[int]]:
        """Check an attribute: its name, and its numbers if it is one of `EXTENTS`, or else its one integer."""
        fields = self._table("attribute", start)
        for tensor in (self._inner(fields, "tensor"), *self._tables(fields, "tensors")):
            if tensor is not None:
                self._tensor(tensor)
        for graph in (self._inner(fields, "graph"), *self._tables(fields, "graphs")):
            if graph is not None:
                self._graph(graph, depth + 1)
        name = self._text(fields, "name")
        return name, self._sizes(fields, "ints") if name in EXTENTS else self._number(fields, "int", "<q")

    def _tensor(self, start: int) -> None:
        fields = self._table("tensor", start)
        name = self._text(fields, "name")
        if self._number(fields, "outside", "<q", -1) != -1:
            raise self._rules.outside(name)
        size = self._vector_at(fields, "bytes", 1)[1]
        self._rules.tensor(name, self._number(fields, "kind", "<i"), self._sizes(fields, "sizes"), size)

    def _value(self, start: int) -> tuple[str, list[int]]:
        """The name and the shape of a value, with 0 for a size that has a name; [] if it does not say its shape."""
        fields = self._table("value", start)
        name, kind = self._text(fields, "name", MAX_VALUE_NAME), self._inner(fields, "type")
        if kind is None:
            return name, []
        parts = self._table("type", kind)
        tensor = self._inner(parts, "value")
        if tensor is None:
            return name, []
        if self._number(parts, "kind", "<B") != TENSOR:
            raise self._rules.refusal(f"has a value {printable(name)!r} that is not a tensor")
        shape = self._inner(self._table("tensor type", tensor), "shape")
        if shape is None:
            return name, []
        sizes = [self._side(size) for size in self._tables(self._table("shape", shape), "sizes")]
        self._rules.shape(sizes)
        return name, sizes

    def _side(self, start: int) -> int:
        value = self._inner(self._table("size", start), "value")
        return 0 if value is None else self._number(self._table("size value", value), "value", "<q")

    def _table(self, kind: str, start: int) -> dict[str, int]:
        """The fields of a table that are present."""
        self._rules.part()
        offsets = start - self._unpack("<i", start)
        length = self._unpack("<H", offsets)
        names, fields = FIELDS[kind], {}
        for index in range((length - 4) // 2):
            distance = self._unpack("<H", offsets + 4 + 2 * index)
            if distance == 0:
                continue
            name = names[index] if index < len(names) else f"number {index}"
            if index >= len(names) or ((kind, name) in REFUSED and not self._is_empty(start + distance)):
                raise self._rules.refusal(
                    f"is not a graph that kvae can have written: a {kind} has the field {name or index!r}"
                )
            fields[name] = start + distance
        return fields

    def _is_empty(self, at: int) -> bool:
        """Whether a field is a vector without elements."""
        return self._unpack("<I", self._ahead(at)) == 0

    def _number(self, fields: dict[str, int], name: str, form: str, default: int = 0) -> int:
        return self._unpack(form, fields[name]) if name in fields else default

    def _inner(self, fields: dict[str, int], name: str) -> int | None:
        """Where the table in a field starts; None if it is not there."""
        return self._ahead(fields[name]) if name in fields else None

    def _vector_at(self, fields: dict[str, int], name: str, width: int) -> tuple[int, int]:
        """Where the elements of a vector start, and how many there are."""
        if name not in fields:
            return 0, 0
        start = self._ahead(fields[name])
        count = self._unpack("<I", start)
        if start + 4 + count * width > self._size:
            raise self._damaged(start)
        return start + 4, count

    def _vector(self, fields: dict[str, int], name: str, width: int) -> Iterator[int]:
        """Where each element of a vector lies."""
        start, count = self._vector_at(fields, name, width)
        for index in range(count):
            self._rules.part()
            yield start + width * index

    def _tables(self, fields: dict[str, int], name: str) -> Iterator[int]:
        """Where each table in a vector starts."""
        return map(self._ahead, self._vector(fields, name, 4))

    def _sizes(self, fields: dict[str, int], name: str) -> list[int]:
        if self._vector_at(fields, name, 8)[1] > MAX_RANK:
            raise self._rules.refusal(f"has a tensor or a kernel with more than {MAX_RANK} sizes")
        return [self._unpack("<q", at) for at in self._vector(fields, name, 8)]

    def _text(self, fields: dict[str, int], name: str, limit: int = MAX_NAME) -> str:
        start, count = self._vector_at(fields, name, 1)
        return self._data[start : start + min(count, limit)].decode(errors="replace")

    def _texts(self, fields: dict[str, int], name: str) -> Iterator[str]:
        for at in self._vector(fields, name, 4):
            yield self._text({name: at}, name, MAX_VALUE_NAME)

    def _ahead(self, at: int) -> int:
        """What the offset at a position leads to."""
        return at + self._unpack("<I", at)

    def _unpack(self, form: str, at: int) -> int:
        if not 0 <= at <= self._size - struct.calcsize(form):
            raise self._damaged(at)
        value: int = struct.unpack_from(form, self._data, at)[0]
        return value

    def _damaged(self, at: int) -> Exception:
        return self._rules.refusal(f"is not a graph in onnxruntime's format, or is cut short: see byte {at}")
