"""Make the shipped data set `fashion_mnist_mini` out of Fashion-MNIST, and print the hashes to pin.

Per class 400 training, 50 validation and 50 test images, drawn from a fixed seed, each from the split of the full set
with the same name, so that no test image of either set is a training image of the other.

    python scripts/make_fashion_mnist_mini.py
"""

import gzip
import hashlib
from pathlib import Path

import numpy as np

from kvae.data import datasets
from kvae.files import idx

SEED = 0
TARGET = Path(__file__).parent.parent / "kvae" / "data" / "fashion_mnist_mini"


def draw(split: datasets.Split, per_class: int, rng: np.random.Generator) -> datasets.Split:
    """`per_class` images of each class, in mixed order."""
    labels = np.asarray(split.labels)
    chosen = np.concatenate(
        [rng.choice(np.flatnonzero(labels == label), per_class, replace=False) for label in range(10)]
    )
    rng.shuffle(chosen)
    return datasets.Split(split.images[chosen], labels[chosen])


def main() -> None:
    full = datasets.load("fashion_mnist")
    rng = np.random.default_rng(SEED)
    train, validation, test = (
        draw(split, per_class, rng) for split, per_class in ((full.train, 400), (full.validation, 50), (full.test, 50))
    )
    arrays = {
        "train-images-idx3-ubyte": np.concatenate([train.images, validation.images])[..., 0],
        "train-labels-idx1-ubyte": np.concatenate([train.labels, validation.labels]).astype(np.uint8),
        "t10k-images-idx3-ubyte": test.images[..., 0],
        "t10k-labels-idx1-ubyte": test.labels.astype(np.uint8),
    }
    for name, array in arrays.items():
        content = idx.to_bytes(array)
        (TARGET / f"{name}.gz").write_bytes(gzip.compress(content, compresslevel=9, mtime=0))
        print(name, array.shape, hashlib.sha256(content).hexdigest())


if __name__ == "__main__":
    main()
