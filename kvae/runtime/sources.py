"""What a bundle can be opened from: a folder, a lone graph, a zip, bytes, an open file, a package's resources.

All but a folder and a lone graph at a path is read into memory, whole and within bounds; nothing is unpacked to disk.
"""

import os
from collections.abc import Callable
from hashlib import sha256 as sha256_of
from importlib.resources.abc import Traversable
from io import BytesIO, TextIOBase
from pathlib import Path
from typing import IO, Any, BinaryIO, NamedTuple
from zipfile import ZipFile

from kvae.bundle import foreign
from kvae.bundle import manifest as manifests
from kvae.bundle.manifest import FILE_NAME, Manifest, sha256
from kvae.bundle.onnx_scan import MAX_BYTES
from kvae.errors import BundleError, KvaeError
from kvae.files.in_memory import InMemory
from kvae.files.regular import open_regular
from kvae.runtime.sessions import Graph

ZIP_STARTS = (b"PK\x03\x04", b"PK\x05\x06")
"""The first bytes of a zip, and of an empty one."""
LONE = "graph"
"""The name of a lone graph before it has been opened."""


class Held(NamedTuple):
    """The files of a bundle in memory, or a lone graph."""

    name: str
    """What they were read from, for messages."""
    files: dict[str, bytes]
    """By name: the manifest and the graphs that it lists; or a lone graph."""


Source = str | os.PathLike[str] | bytes | BinaryIO | Traversable | Held
"""A path, the content of a zip or of a lone graph, a file open for reading bytes, or a resource of a package."""


def hold(source: Source) -> Path | Held:
    """What `Bundle.open` was given, as an absolute path of a folder or a lone graph, or else read into memory.

    Raises:
        BundleError: it does not exist or cannot be read, or is not a bundle.
        KvaeError: it is none of the things that a bundle can be opened from.
    """
    if isinstance(source, (str, os.PathLike)):
        return _of_path(Path(source))
    if isinstance(source, Held):  # from a pickle
        return source
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _of_bytes(bytes(source), "the given bytes")
    if callable(getattr(source, "joinpath", None)):
        return _of_resource(source)  # type: ignore[arg-type]
    if isinstance(source, TextIOBase):
        raise KvaeError(f"{getattr(source, 'name', 'the given file')} is open as text; open it with mode 'rb'.")
    if callable(getattr(source, "read", None)) and not isinstance(source, ZipFile):  # whose read takes a name
        name = getattr(source, "name", None)
        return _of_file(source, name if isinstance(name, str) else "the given file")  # type: ignore[arg-type]
    raise KvaeError(
        f"a bundle is opened from a path, bytes, a file object or a resource; got a {type(source).__name__}."
    )


def check_unpacked(path: Path) -> None:
    """Raise BundleError if a path is a zip, for whatever works on the files of a bundle."""
    if path.is_file():
        with open_regular(path) as file:
            if file.peek(4)[:4] in ZIP_STARTS:
                raise BundleError(f"{path} is a zip. Unpack it, and name the bundle's folder.")


def files(held: Path | Held) -> tuple[Manifest | None, dict[str, Graph]]:
    """The manifest and the graphs by name, with the hashes checked; or no manifest, and a lone graph named `LONE`.

    Raises:
        BundleError: the manifest is invalid, or a graph is not the one that it lists.
    """
    if isinstance(held, Path):
        if not held.is_dir():
            return None, {LONE: held}
        manifest = Manifest.read(held)
        graphs: dict[str, Graph] = {name: held / manifest.graph_file(name) for name in manifest.tensors}
    else:
        graphs = {name: InMemory(name, held.name, content) for name, content in held.files.items()}
        if FILE_NAME not in held.files:
            return None, {LONE: next(iter(graphs.values()))}
        manifest = Manifest.from_json(held.files[FILE_NAME], f"{FILE_NAME} in {held.name}")
        graphs = {name: graphs[manifest.graph_file(name)] for name in manifest.tensors}
    for graph in graphs.values():
        _check_hash(graph, manifest)
    return manifest, graphs


def digest(graph: Graph) -> str:
    """The sha256 of a graph, in hexadecimal.

    Raises:
        BundleError: it cannot be read.
    """
    try:
        return sha256_of(graph.content).hexdigest() if isinstance(graph, InMemory) else sha256(graph)
    except OSError as error:
        raise BundleError(f"cannot read {graph}: {error.strerror}.") from None


def _check_hash(graph: Graph, manifest: Manifest) -> None:
    found, expected = digest(graph), manifest.files.get(graph.name)
    if found != expected:
        if isinstance(graph, InMemory):  # a Git LFS pointer, perhaps
            foreign.check(graph.content, str(graph))
        else:
            foreign.check_file(graph)
        raise BundleError(
            f"{graph} has sha256 {found[:12]}..., but the manifest has {str(expected)[:12]}...: "
            f"it was changed or cut short. Export or copy the bundle again."
        )


def _of_path(path: Path) -> Path | Held:
    if not path.exists():
        raise BundleError(f"{path} does not exist; expected a bundle folder or a decoder.onnx.")
    if path.is_dir():
        return path.absolute()
    try:
        with open_regular(path) as file:
            return _of_zip(file, str(path)) if file.peek(4)[:4] in ZIP_STARTS else path.absolute()
    except OSError as error:
        raise BundleError(f"cannot read {path}: {error.strerror}.") from None


def _of_bytes(content: bytes, name: str) -> Held:
    if content[:4] in ZIP_STARTS:
        return _of_zip(BytesIO(content), name)
    suffix = "ort" if content[4:8] == b"ORTM" else "onnx"
    return Held(name, {f"{LONE}.{suffix}": content})


def _of_file(file: IO[bytes], name: str) -> Held:
    return _of_bytes(_read(file, MAX_BYTES, name), name)


def _of_resource(resource: Traversable) -> Held:
    name = str(resource)
    if resource.is_file():
        with resource.open("rb") as file:
            return _of_file(file, name)
    if not resource.is_dir():
        raise BundleError(f"{name} does not exist; expected a bundle folder or a decoder.onnx.")

    def read(member: str, limit: int) -> bytes:
        found = resource.joinpath(member)
        if not found.is_file():
            raise BundleError(f"{name} is not a whole bundle: it does not hold a {member}.")
        with found.open("rb") as file:
            return _read(file, limit, f"{member} in {name}")

    return _of_files(name, read)


def _of_zip(file: IO[bytes], name: str) -> Held:
    from kvae.files import zips  # takes 3 ms, and a folder does not need it

    start = file.read(foreign.LENGTH)
    file.seek(0)
    with zips.opened(file, name) as archive:
        folder = _folder(set(archive.members), name, start)
        return _of_files(name, lambda member, limit: archive.read(folder + member, limit))


def _folder(members: set[str], name: str, start: bytes) -> str:
    """Where in a zip, which begins with `start`, the bundle is: "" for its top, or the name of a folder with "/"."""
    folders = [
        path.removesuffix(FILE_NAME) for path in members if path.split("/")[-1] == FILE_NAME and path.count("/") <= 1
    ]
    if len(folders) == 1:
        return folders[0]
    if folders:
        raise BundleError(f"{name} holds {len(folders)} files named {FILE_NAME}; expected the zip of one bundle.")
    foreign.check(start, name)  # a Keras model, perhaps
    raise BundleError(f"{name} is not the zip of a bundle: it does not hold a {FILE_NAME}.")


def _of_files(name: str, read: Callable[[str, int], bytes]) -> Held:
    """The files of a bundle that `read(file name, maximum size)` reads."""
    text = read(FILE_NAME, manifests.MAX_BYTES)
    manifest = Manifest.from_json(text, f"{FILE_NAME} in {name}")
    graphs = [manifest.graph_file(role) for role in manifest.tensors]
    return Held(name, {FILE_NAME: text} | {graph: read(graph, MAX_BYTES) for graph in graphs})


def _read(file: Any, limit: int, name: str) -> bytes:
    """The rest of a file that a program opened."""
    try:
        content = file.read(limit + 1)
    except OSError as error:
        raise BundleError(f"cannot read {name}: {error.strerror or error}.") from None
    if not isinstance(content, bytes):
        raise KvaeError(f"{name} returns {type(content).__name__}; expected bytes.")
    if len(content) > limit:
        raise BundleError(f"{name} has more than {limit:,} bytes.")
    return content
