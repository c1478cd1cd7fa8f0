"""Say what someone gave in place of a model, by its first bytes or its files, and what to give instead."""

import codecs
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from kvae.errors import BundleError
from kvae.files.regular import open_regular
from kvae.files.text import shown

LENGTH = 512
"""How many of a file's first bytes are looked at."""
EXPORT = (
    "export it with kvae export, or kvae.export.export for a model of your own, and give the bundle that they write"
)
CONVERT = "kvae runs bundles that it exported itself; give one"
UNPACK = "unpack it, and give the bundle's folder"


class Kind(NamedTuple):
    """A kind of file that is not a graph."""

    what: str
    """What it is: "a Keras model"."""
    instead: str
    """What to do instead, an imperative."""
    fits: Callable[[bytes], object]
    """Whether a file's first bytes are of this kind."""


def _starts(*starts: bytes) -> Callable[[bytes], bool]:
    return lambda content: content.startswith(starts)


def _matches(pattern: bytes) -> Callable[[bytes], object]:
    return re.compile(pattern, re.IGNORECASE | re.DOTALL).match


def _is_text(content: bytes) -> bool:
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(content)  # the last character may be cut
    except UnicodeDecodeError:
        return False
    return all(character.isprintable() or character in "\t\n\f\r\ufeff" for character in text)


KINDS = (
    Kind("an empty file (it has 0 bytes)", "copy it again", lambda content: not content),
    Kind(
        "a Git LFS pointer, not the file itself",
        "run git lfs pull in its repository, or download the file",
        _starts(b"version https://git-lfs"),
    ),
    Kind(
        "a web page, not the file itself",
        "download the file from the page, by its link for raw files",
        _matches(rb"(\xef\xbb\xbf)?\s*<(!doctype|html|head|\?xml)"),
    ),
    Kind("a Keras model", EXPORT, _matches(rb"PK\x03\x04.{26}(metadata\.json|config\.json|model\.weights\.h5)")),
    Kind("a PyTorch model", CONVERT, _matches(rb"PK\x03\x04.{26}[^\0/]{1,200}/(data\.pkl|\.format_version|byteorder)")),
    Kind("an archive of NumPy arrays", CONVERT, _matches(rb"PK\x03\x04.{26}[^\0]{1,200}\.npy")),
    Kind(
        "a zip archive",
        "give the zip of one bundle, which holds a manifest.json",
        _starts(b"PK\x03\x04", b"PK\x05\x06"),
    ),
    Kind("a pickle, perhaps a PyTorch model", CONVERT, _matches(rb"\x80[\x02-\x05]")),
    Kind("an HDF5 file, perhaps a Keras model or its weights", EXPORT, _starts(b"\x89HDF\r\n\x1a\n")),
    Kind("a TensorFlow Lite model", CONVERT, _matches(rb".{4}TFL3")),
    Kind("a file of weights (safetensors)", CONVERT, _matches(rb".{8}\{\s*\"")),
    Kind("a file of weights (GGUF)", CONVERT, _starts(b"GGUF")),
    Kind("a NumPy array", CONVERT, _starts(b"\x93NUMPY")),
    Kind("a picture", CONVERT, _matches(rb"\x89PNG\r\n\x1a\n|\xff\xd8\xff|GIF8|BM.{4}\0\0\0\0")),
    Kind("a compressed file", UNPACK, _starts(b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd", b"7z\xbc\xaf")),
    Kind("a tar archive", UNPACK, _matches(rb".{257}ustar")),
    Kind("a PDF", CONVERT, _starts(b"%PDF-")),
    Kind("a program", CONVERT, _starts(b"\x7fELF", b"MZ", b"#!")),
    Kind("a JSON text", "give the bundle's folder, or its decoder.onnx", _matches(rb"\s*[{\[]\s*[\"{\[}\]0-9-]")),
    Kind("a text", "give the bundle's folder, or its decoder.onnx", _is_text),
)
"""From the narrowest to the widest. An ONNX file begins with none of them: its first byte is that of a field."""


def check(start: bytes, name: str) -> None:
    """Refuse a file that is plainly not a graph.

    Args:
        start: its first `LENGTH` bytes.
        name: what to call it in the message.

    Raises:
        BundleError: it is of one of `KINDS`.
    """
    for kind in KINDS:
        if kind.fits(start[:LENGTH]):
            raise BundleError(f"{name} is {kind.what}; expected an exported graph or a bundle: {kind.instead}.")


def check_file(path: Path) -> None:
    """`check` for a file."""
    with open_regular(path) as file:
        check(file.read(LENGTH), str(path))


def about_folder(folder: Path) -> str:
    """What a folder without a manifest is, or what to give instead, as the end of a sentence."""
    try:
        names = {entry.name for entry in folder.iterdir()}
    except OSError as error:
        return f"it cannot be read: {error.strerror}"
    graphs = sorted(name for name in names if name.endswith((".onnx", ".ort")))
    if not names:
        return "it is empty"
    if {"config.json", "environment.json"} & names and {"checkpoints", "history.csv", "dataset.json"} & names:
        return "it is a training run that has not finished; go on with kvae train --resume, which makes its bundle"
    if "saved_model.pb" in names:
        return f"it is a TensorFlow SavedModel; {EXPORT}"
    if graphs:
        return f"give a graph in it, such as {shown(graphs[0])}, or copy the whole bundle again"
    if any(name.endswith((".safetensors", ".bin", ".pt", ".pth")) for name in names):
        return f"it holds the weights of another library's model; {CONVERT}"
    if any(name.endswith((".keras", ".h5")) for name in names):
        return f"it holds a Keras model; {EXPORT}"
    return "give a bundle's folder, a run or a decoder.onnx"
