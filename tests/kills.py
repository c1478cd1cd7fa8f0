"""A program for the tests: kill a process at each of its system calls that write, and look at what it left.

python kills.py ACTION FOLDER BUNDLE

For n = 1, 2, ... a new process does ACTION in a copy of the same folder and kills itself right before its n-th call
that opens a file for writing, renames, removes, makes or truncates something. What is at the place of the result must
then be the old state or the new one; and a second process must be able to do ACTION, and leave nothing but the result.
The program prints how many calls there were, or the first state that was wrong. All is imported once, then forked.
"""

import hashlib
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from kvae.bundle.folder import is_bundle
from kvae.bundle.manifest import Manifest
from kvae.config import TrainConfig
from kvae.data import image_cache, sources
from kvae.data.images import open_images
from kvae.files import arrays, atomic, claims, locks, ours, output, pictures
from kvae.runtime import bulk, codes, scores, shards
from kvae.runtime.bundle import Bundle

EVENTS = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate", "os.link", "os.symlink")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
NEW = np.linspace(0, 1, 3 * 64, dtype=np.float32).reshape(3, 8, 8, 1)
OLD = NEW[::-1][:2]


def write(out: Path, bundle: Path) -> None:
    """Samples, in the format that the name of `out` implies."""
    output.write([NEW], len(NEW), [8, 8, 1], out)


def encode(out: Path, bundle: Path) -> None:
    """Codes of the pictures beside `out`."""
    images = open_images([out.parent / "images.npy"], (8, 8, 1))
    codes.write(Bundle.open(bundle, "cpu", threads=1), images, images.batches(), out)


def score(out: Path, bundle: Path) -> None:
    """Scores of the same."""
    images = open_images([out.parent / "images.npy"], (8, 8, 1))
    scores.write_csv(scores.score(Bundle.open(bundle, "cpu", threads=1), images, threads=1), out)


def parts(out: Path, bundle: Path) -> None:
    """The same scores in shards, without Ray."""
    job, pieces = bulk.of_images("score", bundle, [out.parent / "images.npy"], out, shard_size=1)
    with shards.opened(job.out, job.plan) as missing:
        for shard in missing:
            bulk.Maker(job).make(shard, pieces[shard])


def cache(out: Path, bundle: Path) -> None:
    """The image cache of a folder of pictures."""
    os.environ["KVAE_CACHE_DIR"] = str(out)
    config = TrainConfig(data=str(out.parent / "pictures"))
    image_cache.prepare(sources.open_source(Path(config.data), config.reading), config)


def export(out: Path, bundle: Path) -> None:
    """A bundle converted to onnxruntime's format."""
    from kvae.conversion import conversion

    conversion.convert(bundle, out, graph_format="ort")


def _old(name: str) -> Callable[[Path, Path], None]:
    return lambda out, bundle: output.write([OLD], len(OLD), [8, 8, 1], out)


ACTIONS: dict[str, tuple[str, Callable[[Path, Path], None], Callable[[Path, Path], object]]] = {
    "a file": ("a.png", write, lambda out, bundle: None),
    "a file that is replaced": ("a.npy", write, _old("a.npy")),
    "a file in a new folder": ("new/a.npz", write, lambda out, bundle: None),
    "a folder": ("out", write, lambda out, bundle: None),
    "a folder that is replaced": ("out", write, _old("out")),
    "a folder that is replaced without a swap": ("out", write, _old("out")),
    "an empty folder that is filled": ("out", write, lambda out, bundle: out.mkdir()),
    "codes": ("a.npz", encode, lambda out, bundle: None),
    "scores": ("a.csv", score, lambda out, bundle: None),
    "parts": ("parts", parts, lambda out, bundle: None),
    "the image cache": ("cache", cache, lambda out, bundle: None),
    "an export": ("out", export, lambda out, bundle: shutil.copytree(bundle, out)),
}


def prepare(folder: Path) -> None:
    """The inputs of all actions."""
    arrays.write_arrays({"images": NEW}, folder / "images.npz")
    np.save(folder / "images.npy", NEW)
    (folder / "pictures").mkdir()
    for index in range(40):
        image = np.random.default_rng(index).integers(0, 255, (8, 8, 1), np.uint8)
        pictures.save(pictures.picture(image), folder / "pictures" / f"{index}.png")


def digest(path: Path) -> str:
    """A digest of a file, or of the visible files under a folder with the list of their hashes."""
    if not os.path.lexists(path):
        return "missing"
    if path.is_file():
        return _hash(path)
    if is_bundle(path):  # onnxruntime writes one graph in several ways
        return Manifest.read(path).graph_format
    names = sorted(
        str(entry.relative_to(path))
        for entry in path.rglob("*")
        if entry.is_file() and not any(claims.TOKEN.fullmatch(part) for part in entry.relative_to(path).parts)
        and not entry.name.endswith((claims.SUFFIX, ".lock"))
    )  # fmt: skip
    return "\n".join(f"{name} {_hash(path / name)}" for name in names) or "empty"


def _hash(path: Path) -> str:
    content = path.read_bytes()
    if path.suffix == ".npz":  # an archive holds the time
        with np.load(path) as archive:
            content = b"".join(name.encode() + archive[name].tobytes() for name in archive)
    return hashlib.sha256(content).hexdigest()


def run(action: str, folder: Path, bundle: Path, kill_at: int | None = None) -> int:
    """Do an action in a new process; its status, negative if it was killed."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    status = 1
    try:
        if "without a swap" in action:
            atomic._exchange = lambda one, other: False
        count = 0

        def look(event: str, arguments: tuple) -> None:
            nonlocal count
            is_write = event == "open" and (arguments[2] or 0) & WRITING and str(arguments[0]).startswith(str(folder))
            if is_write or event in EVENTS:
                count += 1
                if count == kill_at:
                    os.kill(os.getpid(), signal.SIGKILL)

        write_bytes = os.write
        if kill_at:
            sys.addaudithook(look)
            os.write = lambda *arguments: (look("os.remove", ()), write_bytes(*arguments))[
                1
            ]  # locks write their record
        ACTIONS[action][1](folder / ACTIONS[action][0], bundle)
        status = 0
    finally:
        os._exit(status)


def is_between(action: str, folder: Path, out: Path, found: str, new: str) -> bool:
    """Whether a state is one that the action may be killed in besides the old and the new one."""
    if action in ("parts", "the image cache"):  # each of their files is old or new: some of the new ones
        return set(found.splitlines()) - {"missing", "empty"} <= set(new.splitlines())
    if action.startswith("an empty folder"):  # its mark comes last
        return not ours.is_signed(out, output.MARKER) and set(found.splitlines()) <= set(new.splitlines())
    if "without a swap" in action:  # the old one waits beside it under another name
        return found == "missing" and any(name.endswith(".old") for name in os.listdir(folder))
    return False


def main(action: str, root: Path, bundle: Path) -> str:
    """Kill at each call; what was wrong, or how many calls there were."""
    root.mkdir()
    (root / "start").mkdir()
    prepare(root / "start")
    name, _, before = ACTIONS[action]
    folder = root / "killed"  # always the same, because names in results hold it
    shutil.copytree(root / "start", folder)
    before(folder / name, bundle)
    if run(action, folder, bundle):
        return "the action fails"
    new, kept = digest(folder / name), sorted(os.listdir(folder))
    shutil.rmtree(folder)
    before(root / "start" / name, bundle)
    old = digest(root / "start" / name)
    for number in range(1, 10_000):
        shutil.copytree(root / "start", folder)
        status = run(action, folder, bundle, number)
        if status == 0:
            return f"{number - 1} calls"
        found = digest(folder / name)
        if found not in (old, new) and not is_between(action, folder, folder / name, found, new):
            return f"killed at call {number}: it is neither old nor new:\n{found}"
        if run(action, folder, bundle):
            return f"killed at call {number}: the second time fails"
        if action not in ("parts", "the image cache") and digest(folder / name) != new:
            return f"killed at call {number}: the second time gives another result"
        left = [entry for entry in folder.rglob("*") if entry.name.startswith(".") and entry.name != locks.FILE]
        left = [entry for entry in left if entry.name != output.MARKER]
        if action == "the image cache":  # it is whole, so that nothing is made; the next one to make another sweeps
            left = [entry for entry in left if not entry.name.endswith(claims.SUFFIX)]
        if sorted(os.listdir(folder)) != kept or left:
            return f"killed at call {number}: the second time leaves {left or os.listdir(folder)}"
        shutil.rmtree(folder)
    return "endless"


if __name__ == "__main__":
    assert is_bundle(Path(sys.argv[3])), sys.argv[3]
    print(main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]).resolve()))
