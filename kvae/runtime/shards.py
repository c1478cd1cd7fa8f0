"""A large task cut into shards: a folder with the plan and one file per shard, which is either complete or missing.

A folder `out` of four shards holds `plan.json` and, when all is done, `part-00000-of-00004.csv` to
`part-00003-of-00004.csv`. A part that exists is done, so a call with the same plan makes only the missing ones.
"""

import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kvae.errors import KvaeError
from kvae.files import locks
from kvae.files.atomic import atomic_file, remove_abandoned

PLAN = "plan.json"
MAX_IMAGES = 65_536
"""Maximum number of images in a shard."""
MAX_BYTES = 2**30
"""Maximum size of a shard's images as float32, in bytes; a shard has fewer images if they are large."""
SUFFIXES = (".csv", ".npy", ".npz", ".png")
"""Suffixes of the files that other calls write; a folder must not have one."""


@dataclass(frozen=True)
class Plan:
    """What the parts of a folder are."""

    verb: str
    model: str
    """The sha256 of the bundle's manifest, which has the hashes of its files, or of a lone graph."""
    count: int
    """Images in all."""
    shard_size: int
    """Images in each shard but the last."""
    suffix: str
    """The suffix of the parts' names."""
    settings: dict[str, Any]
    """What else the parts depend on, such as the seed."""
    inputs: list[str]
    """For each shard, a digest of the files that its images come from; empty if no images are read."""

    @property
    def stops(self) -> list[int]:
        """For each shard, the index after its last image."""
        return [min(first + self.shard_size, self.count) for first in range(0, self.count, self.shard_size)]

    def start(self, shard: int) -> int:
        """The index of a shard's first image."""
        return shard * self.shard_size

    def part(self, shard: int) -> str:
        """The name of a shard's file."""
        return f"part-{shard:05d}-of-{len(self.stops):05d}{self.suffix}"


def size_for(image_shape: Sequence[int], step: int) -> int:
    """Images in a shard: a multiple of `step`, the number that is processed at a time."""
    fitting = min(MAX_IMAGES, MAX_BYTES // (4 * math.prod(image_shape)))
    return max(1, fitting // step) * step


@contextmanager
def opened(out: Path, plan: Plan) -> Iterator[list[int]]:
    """Lock the folder of a plan while the block runs, and yield the missing shards.

    Args:
        out: the folder, which is made if necessary; one that exists must be empty, or have the same plan.
        plan: what to make. If the files of a missing shard changed since an earlier call, the new ones are used.

    Raises:
        KvaeError: the folder holds other files or another plan, is in use, or cannot be written to.
    """
    if out.suffix.lower() in SUFFIXES or (out.exists() and not out.is_dir()):
        raise KvaeError(f"{out}: shards are written to a folder. Name one with --out.")
    with _reported(out):
        out.mkdir(parents=True, exist_ok=True)
        if not (out / PLAN).exists() and any(not entry.name.startswith(".") for entry in out.iterdir()):
            raise KvaeError(f"{out} holds other files, but no {PLAN}; it is left unchanged. Name another folder.")
    with locks.held(out, "written"):
        with _reported(out):
            missing = _prepare(out, plan)
        yield missing


def _prepare(out: Path, plan: Plan) -> list[int]:
    """Write the plan into its folder, if allowed, and return the missing shards."""
    remove_abandoned(out)
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
    """Raise KvaeError if the folder has another plan, or if the files of a finished part have changed."""
    try:
        before = Plan(**json.loads((out / PLAN).read_text(encoding="utf-8")))
        done = [digest for shard, digest in enumerate(before.inputs) if shard not in missing]
    except (ValueError, TypeError):
        raise KvaeError(
            f"{out / PLAN} is damaged, so it is not known what these parts belong to. Name another --out."
        ) from None
    for name, text in (("verb", "command"), ("model", "model"), ("count", "number of images"),
                       ("shard_size", "size of a shard"), ("suffix", "format"), ("settings", "options")):  # fmt: skip
        was, now = getattr(before, name), getattr(plan, name)
        if was != now:
            raise KvaeError(f"{out} was started with another {text}: {was}; now {now}. Name another --out.")
    if done != [digest for shard, digest in enumerate(plan.inputs) if shard not in missing]:
        raise KvaeError(f"{out} was started with other images, or they have changed since. Name another --out.")
