"""The split of a user's own image, which depends only on its content and on a seed.

The specification: with `pixels` the uint8 values `(height, width, channels)` as a model gets them, in C order, the
content's hash is the sha256 of the text "HEIGHT WIDTH CHANNELS\\n" followed by `pixels`. With u the first 8 bytes,
big-endian, of the sha256 of the text "SPLIT_SEED\\n" followed by the 32 bytes of that hash, divided by 2^64, an image
is in the training split if u < 0.8, else in the validation split if u < 0.9, else in the test split. So images that are
added later do not move others to another split, and equal images are always in the same split.

Where a user's data have a validation or test split of their own, no other image is put into it: by u it would be, but
it is then trained on.
"""

import hashlib
from collections.abc import Collection, Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

SPLITS = ("train", "validation", "test")
BOUNDS = (0.8, 0.9)
"""The values of u at which the training and the validation split end."""
MIN_HELD_OUT = 2
"""Fewest images of the validation and of the test split, so that they have a standard error."""


def content_hash(pixels: NDArray[np.uint8]) -> bytes:
    """The sha256 of an image's shape and pixels, as the module specifies it."""
    found = hashlib.sha256("{} {} {}\n".format(*pixels.shape).encode())
    found.update(np.ascontiguousarray(pixels).data)
    return found.digest()


def split_of(digest: bytes, seed: int, given: Collection[str] = ()) -> str:
    """The split of an image, given its content's hash and the splits that the user gave, as the module specifies it."""
    u = int.from_bytes(hashlib.sha256(f"{seed}\n".encode() + digest).digest()[:8], "big") / 2.0**64
    found = SPLITS[sum(u >= bound for bound in BOUNDS)]
    return SPLITS[0] if found in given else found


def sha256(digests: Iterable[tuple[bytes, str]]) -> str:
    """The hash of a data set: of the sorted lines "SHA256 SPLIT" of its images, regardless of their names and order."""
    lines = sorted(f"{digest.hex()} {split}\n" for digest, split in digests)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def are_enough(counts: Mapping[str, int]) -> bool:
    """Whether each split has enough images to train, select and report on a model."""
    return counts["train"] >= 1 and min(counts["validation"], counts["test"]) >= MIN_HELD_OUT
