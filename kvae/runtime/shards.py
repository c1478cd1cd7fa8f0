"""A long work cut into shards: a folder with a file per shard, each whole or not there, and the plan they follow.

A folder `out` of four shards holds `plan.json` and, once all is done, `part-00000-of-00004.csv` to
`part-00003-of-00004.csv`. A part that is there is done, so a call that follows the same plan makes the missing ones.
"""

import json
import math
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kvae.errors import KvaeError
from kvae.files import locks
from kvae.files.atomic import atomic_file

PLAN = "plan.json"
MAX_IMAGES = 65_536
"""Images of a shard."""
MAX_BYTES = 2**30
"""Bytes of a shard's images as float32: of large images a shard has fewer."""
SUFFIXES = (".csv", ".npy", ".npz", ".png")
"""Those of the files that other calls write: a folder is not named so."""
LEFT_BEHIND = (".part-", "..part-", ".plan.", ".kvae-")
"""How the names begin of what processes that were killed leave in a folder: the temporary files of
`kvae.files.atomic`, also of one inside another, and the folders of `kvae.files.arrays`."""


@dataclass(frozen=True)
class Plan:
    """What the parts of a folder are."""

    verb: str
    model: str
    """The sha256 of the bundle's manifest, which has those of its files, or of a lone graph."""
    count: int
    """Images in all."""
    shard_size: int
    """Images of each shard but the last."""
    suffix: str
    """That of the parts' names."""
    settings: dict[str, Any]
    """What else the parts depend on: the seed, say."""
    inputs: list[str]
    """For each shard a digest of the files that its images come from; empty where none are read."""

    @property
    def stops(self) -> list[int]:
        """For each shard the index before which its images end."""
        return [min(first + self.shard_size, self.count) for first in range(0, self.count, self.shard_size)]

    def start(self, shard: int) -> int:
        """The index of a shard's first image."""
        return shard * self.shard_size

    def part(self, shard: int) -> str:
        """The name of a shard's file."""
        return f"part-{shard:05d}-of-{len(self.stops):05d}{self.suffix}"


def size_for(image_shape: Sequence[int], step: int) -> int:
    """Images of a shard: a multiple of `step`, those that are worked on at a time."""
    fitting = min(MAX_IMAGES, MAX_BYTES // (4 * math.prod(image_shape)))
    return max(1, fitting // step) * step


@contextmanager
def opened(out: Path, plan: Plan) -> Iterator[list[int]]:
    """Hold the folder of a plan for as long as the block runs, and give the shards that are missing.

    Args:
        out: the folder. It is made; one that exists must be empty, or of the same plan.
        plan: what to make. Where the files of a missing shard changed since an earlier call, the new ones count.

    Raises:
        KvaeError: the folder is not a plan's, is another's, is in use, or cannot be written to.
    """
    if out.suffix.lower() in SUFFIXES or (out.exists() and not out.is_dir()):
        raise KvaeError(f"{out}: what is made in shards goes to a folder. Name one with --out.")
    with _reported(out):
        out.mkdir(parents=True, exist_ok=True)
        if not (out / PLAN).exists() and any(not entry.name.startswith(".") for entry in out.iterdir()):
            raise KvaeError(f"{out} holds other files, and no {PLAN}; it is left as it is. Name another folder.")
    with locks.held(out, "written"):
        with _reported(out):
            missing = _prepare(out, plan)
        yield missing


def _prepare(out: Path, plan: Plan) -> list[int]:
    """Write the plan into its folder, where it may be, and say which shards are missing."""
    for entry in out.iterdir():
        if entry.name.startswith(LEFT_BEHIND):
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink(missing_ok=True)
    names = {entry.name for entry in out.iterdir()}
    missing = [shard for shard in range(len(plan.stops)) if plan.part(shard) not in names]
    if PLAN in names:
        _check_same(out, plan, set(missing))
    with atomic_file(out / PLAN, durable=True) as temporary:
        temporary.write_text(json.dumps(asdict(plan), indent=2) + "\n", encoding="utf-8")
    return missing


@contextmanager
def _reported(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise KvaeError(f"cannot write {out}: {error.strerror or error}.") from None


def _check_same(out: Path, plan: Plan, missing: set[int]) -> None:
    """Raise KvaeError where the folder's plan is another one, or the files of a part that is there have changed."""
    try:
        before = Plan(**json.loads((out / PLAN).read_text(encoding="utf-8")))
        done = [digest for shard, digest in enumerate(before.inputs) if shard not in missing]
    except (ValueError, TypeError):
        raise KvaeError(
            f"{out / PLAN} is damaged, so whose parts these are is not known. Name another --out."
        ) from None
    for name, text in (("verb", "command"), ("model", "model"), ("count", "number of images"),
                       ("shard_size", "size of a shard"), ("suffix", "format"), ("settings", "options")):  # fmt: skip
        was, now = getattr(before, name), getattr(plan, name)
        if was != now:
            raise KvaeError(f"{out} was begun with another {text}: {was}; now {now}. Name another --out.")
    if done != [digest for shard, digest in enumerate(plan.inputs) if shard not in missing]:
        raise KvaeError(f"{out} was begun with other images, or they have changed since. Name another --out.")
