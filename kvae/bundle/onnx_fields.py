"""The protobuf messages of an ONNX file and their fields, as far as kvae's graphs have them, after onnx/onnx.proto.

Functions, training information, sparse tensors, texts, and types other than tensors are left out, and so refused.
"""

from typing import NamedTuple

EXTENTS = ("pads", "strides", "dilations", "kernel_shape", "output_padding", "output_shape")
"""The attributes in which a few bytes can require any amount of memory."""
VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
"""Protobuf's wire types, which say how long a value is."""
BITS = {1: 32, 2: 8, 3: 8, 4: 16, 5: 16, 6: 32, 7: 64, 9: 8, 10: 16, 11: 64, 12: 32, 13: 64, 14: 64, 15: 128, 16: 16}
BITS |= {17: 8, 18: 8, 19: 8, 20: 8, 21: 4, 22: 4, 23: 4, 24: 8}
"""Bits of an element, by the `data_type` of a tensor; texts, type 8, are left out."""


class Kind(NamedTuple):
    """What a field of a message may be."""

    wires: tuple[int, ...]
    many: bool = False
    """Whether it may occur more than once."""
    message: str = ""
    """The kind of message in it, if that is checked too."""


INT, INTS = Kind((VARINT,)), Kind((VARINT, LENGTH), many=True)
FLOAT, FLOATS = Kind((FIXED32,)), Kind((FIXED32, LENGTH), many=True)
BYTES, LIST = Kind((LENGTH,)), Kind((LENGTH,), many=True)
FIELDS: dict[str, dict[int, Kind]] = {
    "model": {
        1: INT, 2: BYTES, 3: BYTES, 4: BYTES, 5: INT, 6: BYTES, 7: Kind((LENGTH,), message="graph"), 8: LIST, 14: LIST,
    },
    "graph": {
        1: Kind((LENGTH,), True, "node"), 2: BYTES, 5: Kind((LENGTH,), True, "tensor"), 10: BYTES,
        11: Kind((LENGTH,), True, "end"), 12: Kind((LENGTH,), True, "end"), 13: Kind((LENGTH,), True, "value"),
        14: LIST, 16: LIST,
    },
    "end": {1: BYTES, 2: Kind((LENGTH,), message="type"), 3: BYTES, 4: LIST},
    "value": {1: BYTES, 2: Kind((LENGTH,), message="type"), 3: BYTES, 4: LIST},
    "type": {1: Kind((LENGTH,), message="tensor type"), 6: BYTES},
    "tensor type": {1: INT, 2: Kind((LENGTH,), message="shape")},
    "shape": {1: Kind((LENGTH,), True, "size")},
    "size": {1: INT, 2: BYTES, 3: BYTES},
    "node": {
        1: LIST, 2: LIST, 3: BYTES, 4: BYTES, 5: Kind((LENGTH,), True, "attribute"), 6: BYTES, 7: BYTES, 8: BYTES,
        9: LIST,
    },
    "attribute": {
        1: BYTES, 2: FLOAT, 3: INT, 4: BYTES, 5: Kind((LENGTH,), message="tensor"),
        6: Kind((LENGTH,), message="graph"), 7: FLOATS, 8: INTS, 9: LIST, 10: Kind((LENGTH,), True, "tensor"),
        11: Kind((LENGTH,), True, "graph"), 13: BYTES, 20: INT,
    },
    "tensor": {
        1: INTS, 2: INT, 4: FLOATS, 5: INTS, 7: INTS, 8: BYTES, 9: BYTES, 10: Kind((FIXED64, LENGTH), True), 11: INTS,
        12: BYTES, 13: LIST, 14: INT, 16: LIST,
    },
}  # fmt: skip
"""The fields of each message: by the message's name, then by the field's number."""
