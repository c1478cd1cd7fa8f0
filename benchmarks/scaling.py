"""How do time and memory grow with the images, latent_dim, the image's size, and the importance samples?

Each point runs in its own process, with freshly initialised models and random images: `seconds` is the work alone,
without imports and compilation, `peak memory` is that of the process, with both. Points are not run in parallel; each
is measured in two passes, and the faster one counts, so that a slow minute of the machine does not bend a curve. The
table also gives the local exponent, d log y / d log x from the previous point. Below it are the exponent of a line
fitted to the upper half of the range, and where the local one first passes 0.5: to the left of that, fixed costs take
most of the time.

    python benchmarks/scaling.py
    python benchmarks/scaling.py sampling    # only the tables whose titles contain this word
"""

import json
import math
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import rounds

PASSES = 2
REPEATS, LONG_ENOUGH = 3, 0.5
"""A pass measures a point at least this often, and for so many seconds; the shortest time counts."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """What one process does."""

    task: str
    """A key of `TASKS`."""
    images: int
    latent_dim: int = 16
    pixels: int = 28 * 28
    """Width and height of a square image."""
    architecture: str = "mlp"
    importance_samples: int = 0

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """`(height, width, channels)`."""
        side = math.isqrt(self.pixels)
        return side, side, 1

    def bundle(self, folder: Path) -> Path:
        """The path of the exported model in `folder`."""
        return folder / f"{self.architecture}-{self.latent_dim}-{self.pixels}"


@dataclass(frozen=True)
class Sweep:
    """A table: one point, with one of its fields varied."""

    title: str
    axis: str
    values: Sequence[int]
    point: Point

    @property
    def points(self) -> list[Point]:
        """One point per value."""
        return [replace(self.point, **{self.axis: value}) for value in self.values]


LATENT_DIMS = (2, 8, 32, 128, 512)
PIXELS = tuple(side * side for side in (8, 16, 32, 64, 128))
SWEEPS = [
    Sweep("training, one epoch", "images", (5_000, 10_000, 20_000, 40_000), Point(task="train", images=0)),
    Sweep(
        "sampling, sample_batches",
        "images",
        (1_000, 4_000, 16_000, 64_000, 256_000, 1_000_000),
        Point(task="sample", images=0),
    ),
    Sweep("training, 20 steps of 128 images", "latent_dim", LATENT_DIMS, Point(task="train", images=2_560)),
    Sweep("sampling 10,240 images", "latent_dim", LATENT_DIMS, Point(task="sample", images=10_240)),
    *(
        Sweep(f"{title}, {name}", "pixels", PIXELS, Point(task=task, images=images, architecture=architecture))
        for architecture, name, steps in (("mlp", "dense", 20), ("conv", "convolutional", 5))
        for task, title, images in (
            ("train", f"training, {steps} steps of 128 images", steps * 128),
            ("sample", "sampling 1,024 images", 1_024),
        )
    ),
    Sweep(
        "evaluate, 500 images",
        "importance_samples",
        (10, 32, 100, 316, 1_000),
        Point(task="evaluate", images=500),
    ),
]


def train(point: Point, folder: Path) -> float:
    """Seconds for an epoch's steps, without its validation."""
    from kvae.cli.quiet import import_tensorflow_quietly

    import_tensorflow_quietly()
    import keras

    from kvae.config import ModelConfig, TrainConfig
    from kvae.data.datasets import Dataset, Split
    from kvae.training import building, fitting

    class Clock(keras.callbacks.Callback):
        def __init__(self) -> None:
            super().__init__()
            self.seconds: list[float] = []

        def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
            self.start = time.perf_counter()

        def on_test_begin(self, logs: object = None) -> None:
            self.seconds.append(time.perf_counter() - self.start)
            self.model.stop_training = _enough(self.seconds[1:])  # the first epoch compiles

    model = ModelConfig(architecture=point.architecture, latent_dim=point.latent_dim)
    config = TrainConfig(model=model, epochs=1_000)
    splits = [_random_images(count, point) for count in (point.images, 128, 128)]
    data = Dataset("random", *(Split(images, images[:, 0, 0, 0]) for images in splits), (), "", "")
    clock = Clock()
    fitting.fit(building.build(config, point.image_shape, point.images), config, data, [clock])
    return min(clock.seconds[1:])


def sample(point: Point, folder: Path) -> float:
    """Seconds for `sample_batches`, discarding its images."""
    from kvae.runtime.bundle import Bundle

    bundle = Bundle.open(point.bundle(folder), device="cpu")
    deque(bundle.sample_batches(256), maxlen=0)
    return _least_seconds(lambda: deque(bundle.sample_batches(point.images), maxlen=0))


def evaluate(point: Point, folder: Path) -> float:
    """Seconds for `kvae.evaluation.evaluation.evaluate`."""
    from kvae.evaluation import evaluation
    from kvae.runtime.bundle import Bundle

    bundle = Bundle.open(point.bundle(folder), device="cpu", threads=1)  # as `kvae evaluate` opens it
    images = _random_images(point.images, point) // 128 * 255  # bits
    evaluation.evaluate(bundle, images[:2], 10)
    return _least_seconds(lambda: evaluation.evaluate(bundle, images, point.importance_samples))


def export(points: Sequence[Point], folder: Path) -> None:
    """Write the bundles, with fresh weights, that the points read."""
    from kvae.cli.quiet import import_tensorflow_quietly

    import_tensorflow_quietly()
    from kvae.config import ModelConfig, TrainConfig
    from kvae.export.bundles import export
    from kvae.training import building

    dataset = {"name": "random", "sha256": "0" * 64, "num_images": 1}
    for path, point in {point.bundle(folder): point for point in points}.items():
        config = TrainConfig(model=ModelConfig(architecture=point.architecture, latent_dim=point.latent_dim))
        vae = building.build(config, point.image_shape, config.batch_size)
        export(vae, path, dataset=dataset, binarize="dynamic")


def _random_images(count: int, point: Point) -> Any:
    import numpy as np

    return np.random.default_rng(0).integers(0, 256, (count, *point.image_shape), np.uint8)


def _least_seconds(work: Callable[[], object]) -> float:
    seconds: list[float] = []
    while not _enough(seconds):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def _enough(seconds: Sequence[float]) -> bool:
    return len(seconds) >= REPEATS and sum(seconds) > LONG_ENOUGH


TASKS = {"train": train, "sample": sample, "evaluate": evaluate}


def child(*arguments: object) -> str:
    """Run this script in another process, and return what it printed."""
    command = [sys.executable, __file__, *map(str, arguments)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def local_exponents(xs: Sequence[float], ys: Sequence[float]) -> list[float]:
    """d log y / d log x between neighbouring points."""
    return [math.log(ys[i + 1] / ys[i]) / math.log(xs[i + 1] / xs[i]) for i in range(len(xs) - 1)]


def upper_exponent(xs: Sequence[float], ys: Sequence[float]) -> float:
    """The slope of log y along log x, by least squares over the upper half of the points."""
    half = len(xs) // 2
    return statistics.linear_regression(*([math.log(value) for value in values[half:]] for values in (xs, ys))).slope


def bend(xs: Sequence[int], exponents: Sequence[float]) -> str:
    """Where the local exponent first passes 0.5."""
    for left, right, exponent in zip(xs, xs[1:], exponents, strict=False):
        if exponent > 0.5:
            return f"passes 0.5 between {left:,} and {right:,}"
    return "never passes 0.5"


def table(sweep: Sweep, seconds: Sequence[float], peaks: Sequence[float]) -> str:
    """Markdown: the points, and the exponents fitted to them."""
    lines = [
        f"\n### {sweep.title[0].upper()}{sweep.title[1:]}\n",
        f"| {sweep.axis} | seconds | images/s | exponent | peak memory, MiB | exponent |\n|---|---|---|---|---|---|",
    ]
    exponents = [local_exponents(sweep.values, column) for column in (seconds, peaks)]
    texts = [["", *(f"{exponent:.2f}" for exponent in column)] for column in exponents]
    for point, value, time_, peak, *pair in zip(sweep.points, sweep.values, seconds, peaks, *texts, strict=True):
        rate = point.images / time_
        lines.append(f"| {value:,} | {time_:.3g} | {rate:,.0f} | {pair[0]} | {peak:,.0f} | {pair[1]} |")
    for name, column, local in zip(("Time", "Memory"), (seconds, peaks), exponents, strict=True):
        fitted = upper_exponent(sweep.values, column)
        lines.append(f"\n{name}: exponent {fitted:.2f} over the upper half; the local one {bend(sweep.values, local)}.")
    return "\n".join(lines)


def main() -> None:
    print(rounds.machine())
    chosen = [sweep for sweep in SWEEPS if all(word in sweep.title for word in sys.argv[1:])]
    with tempfile.TemporaryDirectory() as folder:
        exported = [asdict(point) for sweep in chosen for point in sweep.points if point.task != "train"]
        child("export", folder, json.dumps(exported))
        for sweep in chosen:
            passes = [
                [json.loads(child("point", folder, json.dumps([asdict(point)]))) for point in sweep.points]
                for _ in range(PASSES)
            ]
            fastest = [min(tries) for tries in zip(*passes, strict=True)]
            print(table(sweep, *zip(*fastest, strict=True)), flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] in (["export"], ["point"]):  # a process of `child`
        points = [Point(**fields) for fields in json.loads(sys.argv[3])]
        if sys.argv[1] == "export":
            export(points, Path(sys.argv[2]))
        else:
            seconds = TASKS[points[0].task](points[0], Path(sys.argv[2]))
            print(json.dumps([seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))
    else:
        main()
