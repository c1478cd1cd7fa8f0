"""The protobuf messages of an ONNX file and their fields, as far as kvae's graphs have them, after onnx/onnx.proto.

Functions, training information, sparse tensors, texts, and types other than tensors are left out, and so refused.
"""

from typing import NamedTuple

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
"""Protobuf's wire types, which say how long a value is."""


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
        1: INT, 2: BYTES, 3: BYTES, 4: BYTES, 5: INT, 6: BYTES, 7: Kind((LENGTH,), message="graph"),
        8: Kind((LENGTH,), True, "opset"), 14: LIST,
    },
    "opset": {1: BYTES, 2: INT},
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
