"""Inputs made worse: seeds, changed at random, byte by byte and by what the bytes mean.

Everything depends on the generator that is passed, so that a number and a reader give one input.
"""

import gzip
import io
import json
import random
import re
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable

SIZES = (
    0, 1, 2, 7, 8, 127, 128, 255, 256, 2**15, 2**16 - 1, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**63,
    2**64 - 1,
)  # fmt: skip
"""Numbers at which lengths and signs go wrong."""
VALUES = (
    None, True, False, 0, -1, 1, 3, 2**31, 2**63, 2**64, 10**400, 0.5, -0.0, 1e308, float("inf"), float("nan"), "",
    "x", "\0", "\ud800", "\x1b[2J", "..", "/etc/passwd", "a/b", "x" * 20_000, [], {}, [[]], {"a": {}}, [0] * 1000,
    ["batch", 3],
)  # fmt: skip
"""JSON values that a field may not expect."""
TEXTS = (
    "", "Expand", "Tile", "ConstantOfShape", "Range", "Loop", "If", "Scan", "Identity", "RandomNormal",
    "com.microsoft", "z", "mean",
)  # fmt: skip
"""Names that mean something in a graph."""


def mutate(rng: random.Random, seeds: list[bytes]) -> bytes:
    """One seed, changed one to six times; a few go through two kinds of change."""
    content = rng.choice(seeds)
    if rng.random() < 0.6:
        content = _by_meaning(rng, content, seeds)
        if rng.random() < 0.7:
            return content
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        content = rng.choice(BYTE_CHANGES)(rng, content, seeds)
    return with_checksums(content) if rng.random() < 0.5 else content


def _by_meaning(rng: random.Random, content: bytes, seeds: list[bytes]) -> bytes:
    try:
        if content[:1] == b"{":
            return _json(rng, content)
        if content[:2] == b"\x1f\x8b":
            return gzip.compress(_bytes(rng, gzip.decompress(content), seeds), mtime=0)
        if content[:2] == b"PK":
            return _archive(rng, content, seeds)
        if content[4:8] == b"ORTM":  # offsets from place to place: a byte more or less, and none is right
            return rng.choice((flip, flip, _overwrite))(rng, content, seeds)
        if content[:1] == b"\x08":
            return _graph(rng, content)
    except (ValueError, OSError, EOFError, zlib.error, zipfile.BadZipFile, RecursionError):
        pass
    return _bytes(rng, content, seeds)


def _bytes(rng: random.Random, content: bytes, seeds: list[bytes]) -> bytes:
    return rng.choice(BYTE_CHANGES)(rng, content, seeds)


def flip(rng: random.Random, content: bytes, seeds: list[bytes]) -> bytes:
    """One to eight bits the other way; a third of the time near the start, where headers are."""
    changed = bytearray(content)
    for _ in range(rng.randint(1, 8)):
        if changed:
            end = len(changed) if rng.random() < 0.7 else min(len(changed), 64)
            changed[rng.randrange(end)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def cut(rng: random.Random, content: bytes, seeds: list[bytes]) -> bytes:
    """The end is missing."""
    return content[: rng.randint(0, len(content))]


def remove(rng: random.Random, content: bytes, seeds: list[bytes]) -> bytes:
    """A block is missing."""
    start = rng.randint(0, len(content))
    return content[:start] + content[start + _length(rng) :]


def repeat(rng: random.Random, content: bytes, seeds: list[bytes]) -> bytes:
    """A block stands there more than once."""
    start = rng.randint(0, len(content))
    end = start + _length(rng)
    return content[:end] + content[start:end] * rng.choice((1, 1, 2, 20)) + content[end:]


def insert(rng: random.Random, content: bytes, seeds: list[bytes]) -> bytes:
    """Noise in between."""
    start = rng.randint(0, len(content))
    return content[:start] + rng.randbytes(_length(rng)) + content[start:]


def number(rng: random.Random, content: bytes, seeds: list[bytes]) -> bytes:
    """A number of 1, 2, 4 or 8 bytes is another."""
    width = rng.choice((1, 2, 4, 8))
    value = rng.choice(SIZES) % 256**width
    end = len(content) if rng.random() < 0.5 else min(len(content), 64)
    start = rng.randint(0, end)
    return content[:start] + value.to_bytes(width, rng.choice(("big", "little"))) + content[start + width :]


def _overwrite(rng: random.Random, content: bytes, seeds: list[bytes]) -> bytes:
    """A number of four bytes, where one may stand, is another; often one that stands elsewhere."""
    start = rng.randrange(len(content) // 4) * 4
    other = rng.randrange(len(content) // 4) * 4
    value = content[other : other + 4] if rng.random() < 0.5 else (rng.choice(SIZES) % 2**32).to_bytes(4, "little")
    return content[:start] + value + content[start + 4 :]


def digits(rng: random.Random, content: bytes, seeds: list[bytes]) -> bytes:
    """A number in words is another."""
    found = list(re.finditer(rb"\d+", content))
    if not found:
        return number(rng, content, seeds)
    match = rng.choice(found)
    sign = b"-" if rng.random() < 0.2 else b""
    return content[: match.start()] + sign + str(rng.choice((*SIZES, 10**30))).encode() + content[match.end() :]


def splice(rng: random.Random, content: bytes, seeds: list[bytes]) -> bytes:
    """The start of one seed, the end of another."""
    other = rng.choice(seeds)
    return content[: rng.randint(0, len(content))] + other[rng.randint(0, len(other)) :]


BYTE_CHANGES: tuple[Callable[[random.Random, bytes, list[bytes]], bytes], ...] = (
    flip, flip, cut, remove, repeat, insert, number, number, digits, splice,
)  # fmt: skip


def _length(rng: random.Random) -> int:
    return rng.choice((1, 2, 4, 8, 16, 100, 1000))


def with_checksums(content: bytes) -> bytes:
    """A PNG whose chunks have the right checksums again, so that what is in them is looked at; others as they are."""
    if not content.startswith(b"\x89PNG\r\n\x1a\n"):
        return content
    chunks, start = [content[:8]], 8
    while start + 12 <= len(content):
        (length,) = struct.unpack(">I", content[start : start + 4])
        body = content[start + 4 : start + 8 + length]
        if len(body) < length + 4:
            break
        chunks.append(content[start : start + 4] + body + struct.pack(">I", zlib.crc32(body)))
        start += 12 + length
    return b"".join(chunks) + content[start:]


def _archive(rng: random.Random, content: bytes, seeds: list[bytes]) -> bytes:
    """A zip archive, one member of which is another, or has another name."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    if not members:
        return content
    index = rng.randrange(len(members))
    name, inner = members[index]
    members[index] = (rng.choice((name, name, name, "../x.npy", "x", "images.npy")), _bytes(rng, inner, [inner]))
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        for name, inner in members:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # two members of one name
                archive.writestr(zipfile.ZipInfo(name), inner)
    return target.getvalue()


def _json(rng: random.Random, content: bytes) -> bytes:
    """An object with a value changed, taken away, taken from elsewhere, or named twice."""
    root = json.loads(content)
    places = list(_places(root))
    holder, key = rng.choice(places)
    kind = rng.randrange(6)
    if kind == 0:
        del holder[key]
    elif kind == 1:
        other, name = rng.choice(places)
        holder[key] = other[name]
    elif kind == 2:
        depth = rng.choice((10, 100, 5000, 200_000))
        marked = holder[key] = "@"
        text = json.dumps(root).replace(json.dumps(marked), "[" * depth + "]" * depth, 1)
        return text.encode()
    elif kind == 3 and isinstance(holder, dict):
        text = json.dumps(root)
        return text.replace(f'"{key}":', f'"{key}": 1, "{key}":', 1).encode()
    else:
        holder[key] = rng.choice(VALUES)
    return json.dumps(root).encode()


def _places(value: object) -> list[tuple[object, object]]:
    """Each place in a JSON value: what holds it, and under which key."""
    if isinstance(value, dict):
        keys: list[object] = list(value)
    elif isinstance(value, list):
        keys = list(range(min(len(value), 4)))
    else:
        return []
    found = [(value, key) for key in keys]
    for key in keys:
        found += _places(value[key])
    return found


def _graph(rng: random.Random, content: bytes) -> bytes:
    """An ONNX graph with a field of some message in it changed, repeated, or taken away."""
    import onnx
    from google.protobuf.message import DecodeError

    model = onnx.ModelProto()
    try:
        model.ParseFromString(content)
    except DecodeError as error:
        raise ValueError(error) from None
    for _ in range(rng.choice((1, 1, 2, 4))):
        message = rng.choice(list(_messages(model)))
        set_fields = message.ListFields()
        if set_fields:
            _change_field(rng, message, *rng.choice(set_fields))
        if rng.random() < 0.1:
            _send_elsewhere(rng, model)
    return model.SerializeToString()


def _messages(message):
    yield message
    for field, value in message.ListFields():
        if field.type == field.TYPE_MESSAGE:
            for inner in value if field.is_repeated else [value]:
                yield from _messages(inner)


def _change_field(rng, message, field, value) -> None:
    if field.is_repeated:
        if not len(value):
            return
        index = rng.randrange(len(value))
        kind = rng.randrange(3)
        if kind == 0:
            del value[index]
        elif field.type == field.TYPE_MESSAGE:
            value.add().CopyFrom(value[index])
        elif kind == 1:
            value.append(value[index])
        else:
            value[index] = _scalar(rng, field, value[index])
    elif field.type == field.TYPE_MESSAGE or rng.random() < 0.2:
        message.ClearField(field.name)
    else:
        setattr(message, field.name, _scalar(rng, field, value))


def _scalar(rng, field, value):
    if field.type == field.TYPE_STRING:
        return rng.choice((*TEXTS, value + "x", "y" * 3000))
    if field.type == field.TYPE_BYTES:
        return rng.choice((b"", value[:-1], value * 2, flip(rng, value, []), b"x" * 10))
    if field.type in (field.TYPE_FLOAT, field.TYPE_DOUBLE):
        return rng.choice((0.0, -1.0, 1e30, float("inf"), float("nan")))
    if field.type == field.TYPE_ENUM:
        return rng.choice([item.number for item in field.enum_type.values])
    bits = 31 if field.type == field.TYPE_INT32 else 63
    return rng.choice((0, 1, -1, 2, 7, 16, 100, 5000, 2**20, value + 1, value * 2 % 2**bits, 2**bits - 1, -(2**bits)))


def _send_elsewhere(rng, model) -> None:
    """A tensor's numbers are said to stand in another file."""
    if model.graph.initializer:
        import onnx

        tensor = rng.choice(list(model.graph.initializer))
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(
            key="location", value=rng.choice(("/etc/passwd", "w.bin", "*/_ORT_MEM_ADDR_/*", "../x"))
        )
        tensor.external_data.add(key="offset", value=str(rng.choice(SIZES)))
        tensor.external_data.add(key="length", value=str(rng.choice(SIZES)))
