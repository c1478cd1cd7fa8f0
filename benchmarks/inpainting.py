"""How near are inpainted pixels to the true ones, compared with the mean image, neighbours and linear regression?

From test images of Fashion-MNIST, pixels are taken away: 25, 50 and 75 % of them at random, anew for each image, and
the lower half. The contenders fill them in, and the root mean square error over all missing pixels, in grey levels of 0
to 255, is printed as a Markdown table, with a standard error over images (jackknife):

- kvae: the mean of `Bundle.inpaint`, with the settings of `kvae inpaint`; the model has never seen the test images
- the mean image of the training images
- nearest neighbours: the mean of the 10 training images that are nearest in the seen pixels, of all 50,000
- scikit-learn's IterativeImputer: Bayesian ridge regression of each pixel on 30 others, the more correlated the more
  often, in 3 rounds, fitted to 2,000 training images, half of them with the same kind of holes

    python benchmarks/inpainting.py [MODEL] [--images 100] [--picture docs/inpainting.png]

`--picture` also draws one test image of each class without its lower half: original, seen, three draws, mean. It needs
scikit-learn (benchmarks/requirements.txt).
"""

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import rounds
from numpy.typing import NDArray
from PIL import Image

from kvae.bundle.locate import locate
from kvae.data import load
from kvae.files import pictures
from kvae.files.completions import MISSING
from kvae.runtime import Bundle

Floats = NDArray[np.float32]
NEIGHBOURS = 10
FITTED = 2_000
"""Training images that IterativeImputer is fitted to: with all of them it would take hours."""
FEATURES = 30
ROUNDS = 3
DRAWS = 3
PATTERNS = {"25 %": 0.25, "50 %": 0.5, "75 %": 0.75, "lower half": None}


def holes(shape: tuple[int, ...], share: float | None, seed: int) -> NDArray[np.bool_]:
    """Where pixels are missing."""
    if share is not None:
        return np.random.default_rng(seed).random(shape) < share
    missing = np.zeros(shape, np.bool_)
    missing[:, shape[1] // 2 :] = True
    return missing


def mean_image(train: Floats, test: Floats, share: float | None) -> Floats:
    return np.broadcast_to(train.mean(axis=0), test.shape)


def nearest(train: Floats, test: Floats, share: float | None) -> Floats:
    flat, given = train.reshape(len(train), -1), test.reshape(len(test), -1)
    seen, known = (~np.isnan(given)).astype(np.float32), np.nan_to_num(given)
    distances = np.square(flat) @ seen.T - 2 * flat @ known.T  # but for what is the same for all training images
    chosen = np.argpartition(distances, NEIGHBOURS, axis=0)[:NEIGHBOURS]
    return train[chosen].mean(axis=0)


def iterative_imputer(train: Floats, test: Floats, share: float | None) -> Floats:
    from sklearn.experimental import enable_iterative_imputer  # noqa: F401
    from sklearn.impute import IterativeImputer

    fitted = train[:FITTED].copy()
    half = len(fitted) // 2
    # A column that is always missing could not be learned: half of the images are whole.
    fitted[:half][holes(fitted[:half].shape, share, 1)] = np.nan
    imputer = IterativeImputer(
        max_iter=ROUNDS, n_nearest_features=FEATURES, min_value=0, max_value=1, random_state=0, skip_complete=True
    )
    imputer.fit(fitted.reshape(len(fitted), -1))
    return imputer.transform(test.reshape(len(test), -1)).reshape(test.shape).astype(np.float32)


def error(found: Floats, truth: Floats, missing: NDArray[np.bool_]) -> tuple[float, float]:
    """The root mean square error over missing pixels in grey levels, and its standard error."""
    squares = np.where(missing, (255.0 * (found - truth)) ** 2, 0).reshape(len(truth), -1).sum(axis=1)
    counts = missing.reshape(len(truth), -1).sum(axis=1)
    without = np.sqrt((squares.sum() - squares) / (counts.sum() - counts))
    spread = np.sqrt((len(truth) - 1) / len(truth) * np.sum((without - without.mean()) ** 2))
    return float(np.sqrt(squares.sum() / counts.sum())), float(spread)


def draw(bundle: Bundle, images: Floats, path: Path) -> None:
    """A picture with a row of each image: original, seen, draws, mean."""
    seen = images.copy()
    missing = holes(images.shape, None, 0)
    seen[missing] = np.nan
    found = bundle.inpaint(seen, n=8)
    rows = []
    for image, gone, draws, mean in zip(images, missing, found.draws, found.mean, strict=True):
        cells = [np.asarray(pictures.picture(cell).convert("RGB")) for cell in (image, image, *draws[:DRAWS], mean)]
        cells[1] = np.where(gone, np.array(MISSING, np.uint8), cells[1])
        rows.append(np.stack(cells))
    columns = ["original", "seen", *(f"draw {number}" for number in range(1, DRAWS + 1)), "mean"]
    picture: Image.Image = pictures.labelled_grid(np.stack(rows), [""] * len(rows), columns)
    pictures.save(picture, path)
    print(f"{path}: split-R-hat {found.r_hat.round(2).tolist()}, acceptance {found.acceptance.round(2).tolist()}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default="fashion_mnist_small")
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--burn-in", type=int, default=100)
    parser.add_argument("--pattern", choices=list(PATTERNS), action="append", help="only this row")
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args()
    print(rounds.machine())
    bundle = Bundle.open(locate(options.model), threads=1)
    data = load("fashion_mnist")
    train, test = (pictures.to_float32(split.images) for split in (data.train, data.test))
    if options.picture is not None:
        labels = data.test.labels.tolist()
        draw(bundle, test[[labels.index(label) for label in range(10)]], options.picture)
    test = test[: options.images]
    last: dict[str, Any] = {}

    def kvae(train: Floats, test: Floats, share: float | None) -> Floats:
        last["found"] = bundle.inpaint(test, steps=options.steps, burn_in=options.burn_in)
        return last["found"].mean

    others = {"the mean image": mean_image, f"{NEIGHBOURS} nearest neighbours": nearest}
    contenders = {"kvae": kvae, **others, "IterativeImputer": iterative_imputer}
    if not len(test):
        return
    print(f"\n{len(test)} test images, {options.model}\n")
    print(f"| missing | {' | '.join(contenders)} | split-R-hat, acceptance |")
    print("|---" * (len(contenders) + 2) + "|")
    for name in options.pattern or PATTERNS:
        share = PATTERNS[name]
        missing = holes(test.shape, share, 0)
        seen = np.where(missing, np.float32(np.nan), test)
        cells = []
        for contender in contenders.values():
            start = time.perf_counter()
            value, spread = error(contender(train, seen, share), test, missing)
            cells.append(f"{value:.1f} ± {spread:.1f} ({time.perf_counter() - start:,.0f} s)")
        found = last["found"]
        mixing = f"{np.median(found.r_hat):.2f}, {np.median(found.acceptance):.2f}"
        print(f"| {name} | {' | '.join(cells)} | {mixing} |", flush=True)


if __name__ == "__main__":
    main()
