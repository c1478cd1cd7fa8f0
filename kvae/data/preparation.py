"""Prepare a user's own images in two passes: the first reads only their headers, the second decodes or skips each one.

Threads decode, but the results and their order do not depend on them. No pixels stay in memory; the name, hash and
label of each image do, which are some 200 to 500 bytes.
"""

import contextlib
import shlex
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from kvae.config import TrainConfig
from kvae.data import decoding, splits
from kvae.data.opening import Unusable, quiet
from kvae.data.pixels import Header, Shape
from kvae.data.source import CHUNK_BYTES, Item, Part, Source
from kvae.data.tally import Prepared, Skipped
from kvae.errors import DataError
from kvae.files.reading import Reading
from kvae.files.text import shown
from kvae.machine import cores
from kvae.machine.pool import Pool

MAX_THREADS = 8
"""Maximum number of threads that decode, because more would only need more memory."""
GROUP = 16
"""Images that a thread processes at a time, or fewer if the images of an array are large."""
NUM_TOLD = 3
"""Maximum number of skipped images that an error names."""

Given = TypeVar("Given")
Made = TypeVar("Made")


@dataclass(frozen=True)
class Plan:
    """What the first pass decided for all images."""

    shape: Shape | None
    """`(height, width, channels)`; None if no image can be used."""
    resize: bool
    count: int
    """Number of images, whether they can be used or not."""
    kinds: Counter[Header]
    """How many images there are of each kind, among those whose header can be read."""
    unfit: list[Skipped]
    """Images that the first pass found unusable, regardless of the size of the others."""

    @property
    def is_rounded(self) -> bool:
        """Whether any images are arrays of floats."""
        return any(kind.is_float for kind in self.kinds)

    def fits(self, kind: Header) -> bool:
        """Whether the size of a kind of images can be used."""
        if decoding.check_extent(kind, self.resize) or self.shape is None:
            return False
        return self.resize or (kind.height, kind.width) == self.shape[:2]


def survey(source: Source, config: TrainConfig) -> Plan:
    """Read the headers of all images: find the size that most have, and whether any of these has colour.

    Raises:
        DataError: a file with many images is damaged, or none of its images can be used.
    """
    resize = config.size is not None
    kinds: Counter[Header] = Counter()
    unfit: list[Skipped] = []
    count = 0
    whole: list[Header] = []  # those of arrays, which are used as a whole or not at all
    with quiet():
        for part in source.parts:
            part.check_numbers()
            with contextlib.closing(_headers(part, config.reading)) as headers:
                for name, found, number in headers:
                    count += number
                    wrong = found if isinstance(found, str) else decoding.check_extent(found, resize)
                    if wrong and part.header is not None:
                        raise DataError(f"the images in {shown(str(part.path))} cannot be used: {wrong}.")
                    if wrong:
                        unfit.append(Skipped(name, wrong))
                    if not isinstance(found, str):
                        kinds[found] += number
            whole += [part.header] if part.header is not None else []
    plan = Plan(_shape(kinds, config), resize, count, kinds, unfit)
    if not all(map(plan.fits, whole)):
        sizes = " and ".join(sorted({f"{kind.height} x {kind.width}" for kind in kinds}))
        advice = "" if any(kind.is_row for kind in kinds) else "; give them one with --image-size"
        raise DataError(f"the images in {shown(str(source.path))} have different sizes ({sizes}){advice}.")
    return plan


def _headers(part: Part, reading: Reading) -> Generator[tuple[str, Header | str, int], None, None]:
    """For all images: the name, the header or what is wrong with it, and the number of images it is for."""
    if part.header is not None and part.count is not None:
        yield "", part.header, part.count
    else:
        yield from in_threads(lambda item: _probe(item, reading), part.items())


def _shape(kinds: Counter[Header], config: TrainConfig) -> Shape | None:
    """The shape of a data set, given how many images of each kind there are; None if none can be used."""
    resize = config.size is not None
    sizes: Counter[tuple[int, int]] = Counter()
    for kind, number in kinds.items():
        if not decoding.check_extent(kind, resize):
            sizes[kind.height, kind.width] += number
    if not sizes:
        return None
    height, width = config.size or max(sizes, key=lambda size: (sizes[size], size))
    taken = sizes if resize else {(height, width)}
    colour = any(kind.channels == 3 and (kind.height, kind.width) in taken for kind in kinds)
    return height, width, 3 if colour and not config.grayscale else 1


@contextlib.contextmanager
def images(source: Source, config: TrainConfig, plan: Plan) -> Iterator[Iterator[Prepared | Skipped]]:
    """An iterator over all images in the order of their names, each decoded or skipped, for use in a `with` block.

    Raises:
        DataError: a file with many images is damaged.
    """
    largest = max(1, *(part.image_bytes for part in source.parts))
    group = max(1, min(GROUP, CHUNK_BYTES // largest))
    shape = plan.shape or (decoding.MIN_SIZE, decoding.MIN_SIZE, 1)  # no image can be used, but each has its own reason

    def prepare(item: Item) -> Prepared | Skipped:
        try:
            pixels = decoding.decode(item.content, shape, plan.resize, config.reading)
        except Unusable as error:
            return Skipped(item.name, str(error))
        digest = splits.content_hash(pixels)
        split = item.split or splits.split_of(digest, config.split_seed, source.given)
        return Prepared(item.name, item.label, pixels, digest, split)

    with quiet(), contextlib.closing(in_threads(prepare, source.items(), group)) as prepared:
        yield prepared


def shape_of(source: Source, plan: Plan) -> Shape:
    """The shape of a plan's images; DataError if none can be used."""
    if plan.shape is None:
        told = _told(plan.unfit) or "there are none"
        raise DataError(f"{shown(str(source.path))}: none of its {plan.count:,} images can be used ({told}).")
    return plan.shape


def check_bad(source: Source, skipped: list[Skipped], config: TrainConfig, plan: Plan) -> None:
    """Raise DataError if more images are skipped than `config.max_bad`, without waiting for the rest."""
    if len(skipped) > config.max_bad:
        raise DataError(
            f"{shown(str(source.path))}: at least {len(skipped):,} of {plan.count:,} images cannot be used, but "
            f"--max-bad is {config.max_bad:,} ({_told(skipped)}). See them all with {inspect_command(config)}."
        )


def inspect_command(config: TrainConfig) -> str:
    """The command that says what training with these settings would do with its images."""
    words = ["kvae", "data", "inspect", shown(config.data or "")]
    if config.image_size is not None:
        words += ["--image-size", config.image_size]
    if config.grayscale:
        words.append("--grayscale")
    for name in ("validation_data", "test_data", "alpha", "levels"):
        if (value := getattr(config, name)) is not None:
            words += [f"--{name.replace('_', '-')}", shown(value)]
    if config.split_seed != TrainConfig.split_seed:
        words += ["--split-seed", str(config.split_seed)]
    return shlex.join(words)


def _told(skipped: list[Skipped]) -> str:
    told = [f"{name}: {reason}" for name, reason in skipped[:NUM_TOLD]]
    return "; ".join(told + ["..."] * (len(skipped) > NUM_TOLD))


def in_threads(work: Callable[[Given], Made], given: Iterable[Given], size: int = GROUP) -> Generator[Made, None, None]:
    """Like `map(work, given)`, but in threads, `size` items at a time, without reading far ahead."""
    threads = min(MAX_THREADS, cores.threads())
    remaining = iter(given)
    waiting: deque[Future[list[Made]]] = deque()
    with Pool(threads) as pool:
        try:
            while True:
                while len(waiting) <= threads and (group := list(islice(remaining, size))):
                    waiting.append(pool.submit(lambda group: list(map(work, group)), group))
                if not waiting:
                    return
                yield from waiting.popleft().result()
        finally:  # also if the caller stops early: what waits in the pool is not started
            pool.shutdown(wait=False, cancel_futures=True)


def _probe(item: Item, reading: Reading) -> tuple[str, Header | str, int]:
    try:
        return item.name, decoding.probe(item.content, reading), 1
    except Unusable as error:
        return item.name, str(error), 1
