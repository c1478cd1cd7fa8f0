"""Straight lines or great circles: at whose middle are images more like real ones?

5,000 random pairs of test images of Fashion-MNIST are encoded, and the codes half way between the two are decoded. What
comes out is compared with all test images by the features of the classifier that comes with kvae. Beside it stand the
reconstructions of the first images of the pairs: no path can be expected to do better. Prints a Markdown table, with
jackknife errors, and the paired difference of the two paths.

    python benchmarks/interpolation.py MODEL...
"""

import argparse

import numpy as np
import rounds
from numpy.typing import NDArray

from kvae.bundle import binarization
from kvae.bundle.locate import locate
from kvae.data import load
from kvae.evaluation import choose_features
from kvae.evaluation.prior_samples import between
from kvae.files import pictures
from kvae.runtime import Bundle, paths

PAIRS = 5_000
BATCH = 500
NUMBERS = {"frechet_distance": 1, "kernel_distance": 4, "density": 3, "coverage": 3}
"""What is compared, and with how many decimals it is printed."""


def images_on(bundle: Bundle, path: str | None, grey: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    """The decoded middles of pairs, or without a path the reconstructions of the pairs' first images."""
    rng = np.random.default_rng(seed)
    codes = bundle.encode(binarization.as_encoded(bundle.manifest, grey)).loc
    pairs = [rng.choice(len(codes), 2, replace=False) for _ in range(PAIRS)]
    chosen = [
        codes[one] if path is None else paths.interpolate(codes[one], codes[other], 3, path)[1] for one, other in pairs
    ]
    return np.concatenate([bundle.decode(np.stack(chosen[first : first + BATCH])) for first in range(0, PAIRS, BATCH)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    print(rounds.machine())
    data = load("fashion_mnist")
    grey = pictures.to_float32(data.test.images)
    print(f"\n| model | middles of | {' | '.join(NUMBERS)} |")
    print("|---" * (2 + len(NUMBERS)) + "|")
    for name in given.models:
        bundle = Bundle.open(locate(name), "cpu")
        extractor = choose_features(bundle, data)
        real = extractor.compute(grey, None).features.astype(np.float64)
        found = {}
        for path in (*paths.PATHS, None):
            images = images_on(bundle, path, grey, given.seed)
            found[path] = between(extractor.compute(images, None).features.astype(np.float64), real)
            print(row(name, path or "reconstructions", found[path]), flush=True)
        line, sphere = found["line"], found["sphere"]
        print(row(name, "line − sphere", {number: line[number] - sphere[number] for number in NUMBERS}), flush=True)


def row(name: str, path: str, numbers: dict) -> str:
    """A row of the table."""
    estimates = [(numbers[number].estimate(), decimals) for number, decimals in NUMBERS.items()]
    cells = [f"{one.value:.{decimals}f} ± {one.standard_error:.{decimals}f}" for one, decimals in estimates]
    return f"| {name} | {path} | {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
