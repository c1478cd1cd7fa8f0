"""The binarised Fashion-MNIST that a published paper reports on: test bits which kvae had no hand in choosing.

The paper's code draws them, as Bernoulli variables with the grey intensities as probabilities, from one stream of
numpy's legacy generator with the seed 777: first those of the validation images (the last 10,000 of the training file,
unshuffled), then those of the test images. Numpy keeps that stream as it is for ever (its policy, NEP 19), and the bits
are pinned by the sha256 of their `np.packbits`.

Reference: Kviman, Molén, Hotti, Kurt, Elvira and Lagergren, Cooperation in the Latent Space: The Benefits of Adding
    Mixture Components in Variational Autoencoders, arXiv 2209.15514; its code, github.com/Lagergren-Lab/MixtureVAEs.
"""

import hashlib

import numpy as np
from numpy.typing import NDArray

from kvae.data import named
from kvae.data.dataset import Dataset
from kvae.errors import DataError
from kvae.files import pictures

DATASET = "fashion_mnist"
SEED = 777
PACKED_SHA256 = {
    "validation": "b869ba8b3c41559faf540398b07ba91ee1155b4a5393192d96fd92b76c193725",
    "test": "25f0d69b40ae46a7566c3c5fb8650d55ec964d5c10d88ced01e3afa36df0cb90",
}
"""Hash of each split's packed bits, in the order in which they are drawn."""


def check_published(name: str, sha256: str, is_of_bits: bool) -> None:
    """Raise DataError unless there are published bits for a model's data set, which is given by its name and hash."""
    if not is_of_bits or (name, sha256) != (DATASET, named.get(DATASET).sha256):
        which = "binarised" if is_of_bits else "unbinarised"
        other = ", whose images differ from kvae's" if name == DATASET and is_of_bits else ""
        raise DataError(
            f"published test bits exist only for models of binarised {DATASET}; this is a model of {which} {name}"
            f"{other}. Evaluate it without them (--test-bits kvae)."
        )


def published_bits(data: Dataset) -> NDArray[np.uint8]:
    """The published test images of Fashion-MNIST, bytes 0 and 255, uint8 `(10000, 28, 28, 1)`.

    Raises:
        DataError: the data set is another one, or the bits differ from the pinned ones.
    """
    check_published(data.name, data.sha256, is_of_bits=True)
    source = np.random.RandomState(SEED)
    for split, expected in PACKED_SHA256.items():
        bits = source.binomial(1, pictures.to_float32(getattr(data, split).images)).astype(np.uint8)
        found = hashlib.sha256(np.packbits(bits).data).hexdigest()
        if found != expected:
            raise DataError(
                f"the published {split} bits of {DATASET} have sha256 {found[:12]}..., expected {expected[:12]}...: "
                f"this numpy draws different bits, so results would not be comparable."
            )
    return bits * np.uint8(255)
