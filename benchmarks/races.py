"""Two processes race for one result: is anything lost, and is there one clear loser?

python benchmarks/races.py [ROUNDS [KIND...]]

In each round two processes begin to write the same file or folder, to make a run in the same folder, or to decode the
same images into the cache, at the same moment. What is there afterwards must be wholly one's; a process that was
refused must have said so; and nothing else may be left. Prints, for each kind, how the rounds ended.
"""

import collections
import os
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np

from kvae.config import TrainConfig
from kvae.data import image_cache, sources
from kvae.errors import KvaeError
from kvae.files import locks, output, pictures
from kvae.files.atomic import check_replaceable
from kvae.runs import files as run_files

IMAGES = 20
REFUSED = 7
"""The status of a process that another one kept from writing."""


def images(who: int) -> np.ndarray:
    """The images that a process writes: all of one level."""
    return np.full((IMAGES, 8, 8, 1), who, np.float32)


def write(path: Path, who: int) -> None:
    """Write samples to a file or folder."""
    output.write([images(who)], IMAGES, [8, 8, 1], path)


def begin_run(path: Path, who: int) -> None:
    """Begin a run as `kvae.training.train` does, without a training."""
    path.mkdir(parents=True, exist_ok=True)
    with locks.held(path):
        check_replaceable(path, lambda folder: os.listdir(folder) == [locks.FILE], "an empty folder")
        run_files.write_json(path / "config.json", {"who": who})
        run_files.write_json(path / "metrics.json", {"who": who})


def decode(path: Path, who: int) -> None:
    """Decode pictures into the image cache."""
    os.environ["KVAE_CACHE_DIR"] = str(path)
    config = TrainConfig(data=str(path.parent / "pictures"))
    image_cache.prepare(sources.open_source(path.parent / "pictures", config.reading), config)


def owner_of_npy(path: Path) -> set[int]:
    """Whose images are in a file."""
    found = np.load(path)
    assert found.shape == (IMAGES, 8, 8, 1), found.shape
    return set(np.unique(found).astype(int).tolist())


def owner_of_folder(path: Path) -> set[int]:
    """Whose images are in a folder."""
    names = sorted(os.listdir(path))
    assert len(names) == IMAGES + 1, names
    assert output.holds_samples(path)
    return {min(1, int(np.asarray(pictures.Image.open(path / name)).max())) for name in names if name.endswith(".png")}


def owner_of_run(path: Path) -> set[int]:
    """Whose files are in a run."""
    return {run_files.read_object(path / name)["who"] for name in ("config.json", "metrics.json")}


def owner_of_cache(path: Path) -> set[int]:
    """Whether the cache holds one whole folder."""
    folders = [entry for entry in (path / "images").iterdir() if entry.is_dir()]
    assert len(folders) == 1 and image_cache.fault(folders[0]) is None, folders
    assert not [name for name in os.listdir(path / "images") if ".tmp" in name]
    return {0}


KINDS = {
    "file": ("a.npy", write, owner_of_npy),
    "folder": ("out", write, owner_of_folder),
    "empty folder": ("empty", write, owner_of_folder),
    "run": ("run", begin_run, owner_of_run),
    "cache": ("cache", decode, owner_of_cache),
}


def start(work, path: Path, who: int, gate: int) -> int:
    """A process that does something as soon as the gate opens."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        os.read(gate, 1)
        work(path, who)
        status = 0
    except KvaeError as error:
        is_clear = "is being" in str(error) or "left unchanged" in str(error)
        status = REFUSED if is_clear else 1
        if not is_clear:
            print(error, file=sys.stderr)
    finally:
        os._exit(status)


def race(kind: str, root: Path) -> str:
    """One round; how it ended."""
    name, work, owner = KINDS[kind]
    path = root / name
    if kind == "empty folder":
        path.mkdir()
    reading, writing = os.pipe()
    children = [start(work, path, who, reading) for who in (0, 1)]
    os.write(writing, b"gg")
    statuses = sorted(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children)
    os.close(reading)
    os.close(writing)
    assert statuses in ([0, 0], [0, REFUSED]), statuses
    owners = owner(path)
    assert len(owners) == 1, owners
    left = sorted(set(os.listdir(root)) - {name, "pictures"})
    assert not left, left
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    return "one was refused" if REFUSED in statuses else "one after the other"


def main(rounds: int, kinds: list[str]) -> None:
    """Race for each kind of result."""
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        (root / "pictures").mkdir()
        for index in range(40):
            image = np.random.default_rng(index).integers(0, 255, (8, 8, 1), np.uint8)
            pictures.save(pictures.picture(image), root / "pictures" / f"{index}.png")
        for kind in kinds:
            found = collections.Counter(race(kind, root) for _ in range(rounds))
            print(f"{kind:<14}{rounds:>6} rounds: {dict(sorted(found.items()))}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000, sys.argv[2:] or list(KINDS))
