"""Which statistic of `kvae score` tells which odd images from normal ones?

Normal images are test images of Fashion-MNIST, and the reference of typicality are validation images. Odd ones are
other test images, changed; digits, those of MNIST if kvae finds them, else scikit-learn's of 8 x 8 pixels, enlarged; or
a class that a model was not trained on. Prints a table of AUROC with bootstrap standard errors for each model, and for
complexity the AUROC by compressor.

    python benchmarks/odd.py --out FOLDER [--models bits 8-bit] [--images 1000] [--seed 0]

FOLDER holds the runs, dense networks, which are trained if they are missing (minutes each).
"""

import argparse
import bz2
import io
import math
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import rounds
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from kvae.bundle import binarization
from kvae.config import ModelConfig, TrainConfig
from kvae.data import load
from kvae.detection import STATISTICS, Calibration, compressor, detection_metrics, surprise
from kvae.errors import KvaeError
from kvae.files import pictures
from kvae.runtime import Bundle
from kvae.training import train

Bytes = NDArray[np.uint8]
Doubles = NDArray[np.float64]
MODELS = {"bits": "bernoulli", "8-bit": "discretized_logistic"}
"""The likelihood of each model."""
EPOCHS, LEFT_OUT_EPOCHS = 20, 10
LEFT_OUT = "Bag"
BLUR = 2
"""Standard deviation of the blur in pixels."""


class Sets(NamedTuple):
    """Images, `(n, 28, 28, 1)` each."""

    normal: Bytes
    reference: Bytes
    odd: dict[str, Bytes]


def digits(count: int) -> tuple[str, Bytes]:
    """Digits, and what they are."""
    try:
        return "MNIST", load("mnist").test.images[:count]
    except KvaeError:
        from sklearn import datasets

        small = np.rint(datasets.load_digits().images[:count] * (255 / 16)).astype(np.uint8)
        size = Image.Resampling.BILINEAR
        return "digits (scikit-learn's, enlarged)", _each(small, lambda image: image.resize((28, 28), size))


def _each(images: Bytes, change: Callable[[Image.Image], Image.Image]) -> Bytes:
    return np.stack([np.asarray(change(Image.fromarray(image))) for image in images])[..., None]


def changed(count: int, seed: int) -> Sets:
    """Normal images of all classes, and odd ones."""
    data, rng = load("fashion_mnist"), np.random.default_rng(seed)
    normal, base = data.test.images[:count], data.test.images[count : 2 * count]
    shades = rng.integers(0, 256, (len(base), 1, 1, 1), np.uint8)
    name, drawn = digits(count)
    return Sets(
        normal,
        data.validation.images[:count],
        {
            name: drawn,
            "flipped left to right": base[:, :, ::-1],
            "upside down": base[:, ::-1],
            f"blurred by {BLUR} pixels": _each(base[..., 0], lambda x: x.filter(ImageFilter.GaussianBlur(BLUR))),
            "constant, any shade": np.broadcast_to(shades, base.shape),
            "noise": rng.integers(0, 256, base.shape, np.uint8),
        },
    )


def left_out(count: int) -> Sets:
    """Images of all classes but one, and those of that class."""
    data = load("fashion_mnist")
    number = data.label_names.index(LEFT_OUT)
    others = [split.images[split.labels != number][:count] for split in (data.test, data.validation)]
    return Sets(*others, {f"{LEFT_OUT.lower()}s, left out": data.test.images[data.test.labels == number][:count]})


def model(folder: Path, name: str, leave_out: bool) -> Bundle:
    """The bundle of a run, which is trained if it is missing."""
    run = folder / f"{name}-without-{LEFT_OUT.lower()}" if leave_out else folder / name
    if not (run / "bundle").exists():
        settings = {"model": ModelConfig(architecture="mlp", likelihood=MODELS[name])}
        if leave_out:
            data = load("fashion_mnist")
            number = data.label_names.index(LEFT_OUT)
            splits = {"train": data.train, "val": data.validation, "test": data.test}
            own = folder / f"without-{LEFT_OUT.lower()}.npz"
            folder.mkdir(parents=True, exist_ok=True)
            np.savez(own, **{f"x_{name}": split.images[split.labels != number] for name, split in splits.items()})
            settings |= {
                "data": str(own),
                "dataset": f"fashion_mnist_without_{LEFT_OUT.lower()}",
                "epochs": LEFT_OUT_EPOCHS,
            }
        else:
            settings |= {"dataset": "fashion_mnist", "epochs": EPOCHS}
        train(TrainConfig(**settings), run)
    return Bundle.open(run / "bundle", threads=1)


def measured(bundle: Bundle, images: Bytes, statistic: str) -> Doubles:
    return surprise(bundle, pictures.to_float32(images), statistic)


def auroc(normal: Doubles, odd: Doubles, seed: int) -> str:
    is_odd = np.arange(len(normal) + len(odd)) >= len(normal)
    found = detection_metrics(np.concatenate([normal, odd]), is_odd, seed).auroc
    return f"{found.value:.3f} ± {found.standard_error:.3f}"


def rows(bundle: Bundle, sets: Sets, seed: int) -> dict[str, list[str]]:
    """For each kind of odd images, the AUROC of each statistic."""
    found: dict[str, list[str]] = {name: [] for name in sets.odd}
    for statistic in STATISTICS:
        calibration = Calibration(statistic, measured(bundle, sets.reference, statistic))
        normal = calibration.values(measured(bundle, sets.normal, statistic))
        for name, images in sets.odd.items():
            found[name].append(auroc(normal, calibration.values(measured(bundle, images, statistic)), seed))
    return found


def is_of_bits(image: Bytes) -> bool:
    return bool(np.isin(image, (0, 255)).all())


def picture(image: Bytes, kind: str, **options: Any) -> int:
    """Bytes as a picture; a PNG of bits has one bit for each pixel."""
    encoded = io.BytesIO()
    grey = Image.fromarray(image[..., 0])
    grey = grey.convert("1") if kind == "PNG" and is_of_bits(image) else grey
    grey.save(encoded, kind, **options)
    return len(encoded.getvalue())


def packed(image: Bytes) -> bytes:
    """The bytes of an image, eight pixels in each if they are bits."""
    return np.packbits(image > 0).tobytes() if is_of_bits(image) else image.tobytes()


COMPRESSORS: dict[str, Callable[[Bytes], int]] = {
    "WebP": lambda image: picture(image, "WEBP", lossless=True, quality=100),
    "PNG": lambda image: picture(image, "PNG", optimize=True),
    "zlib": lambda image: len(zlib.compress(packed(image), 9)),
    "bz2": lambda image: len(bz2.compress(packed(image))),
}
"""The bytes of an image, by each compressor that was not chosen."""


def by_compressor(bundle: Bundle, sets: Sets, seed: int) -> dict[str, list[str]]:
    """For each kind of odd images, the AUROC of complexity with the chosen compressor and with each other one."""
    of_bits = bundle.manifest.is_of_bits
    everything = {"normal": sets.normal} | sets.odd
    scores: dict[str, list[Doubles]] = {}
    for kind, images in everything.items():
        encoded = binarization.as_encoded(bundle.manifest, pictures.to_float32(images))
        bits = measured(bundle, images, "elbo") / math.log(2)
        levels = pictures.to_uint8(encoded)
        lengths = [compressor.bits(encoded, of_bits)]
        lengths += [np.array([8 * size(image) for image in levels], float) for size in COMPRESSORS.values()]
        scores[kind] = [bits - length for length in lengths]
    return {
        kind: [auroc(normal, odd, seed) for normal, odd in zip(scores["normal"], scores[kind], strict=True)]
        for kind in sets.odd
    }


def table(title: str, columns: list[str], found: dict[str, list[str]]) -> None:
    print(f"\n| {title} | {' | '.join(columns)} |\n|---|{'---|' * len(columns)}")
    for name, cells in found.items():
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    print(rounds.machine())
    sets, without = changed(given.images, given.seed), left_out(given.images)
    for name in given.models:
        whole, partial = model(given.out, name, False), model(given.out, name, True)
        table(name, list(STATISTICS), rows(whole, sets, given.seed) | rows(partial, without, given.seed))
        found = by_compressor(whole, sets, given.seed) | by_compressor(partial, without, given.seed)
        table(f"{name}, complexity", ["LZMA", *COMPRESSORS], found)


if __name__ == "__main__":
    main()
