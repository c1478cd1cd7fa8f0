"""A stream of images with missing pixels, completed one by one, as `kvae inpaint` writes them."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from kvae.bundle import binarization
from kvae.data.images import Batch, Images, Positions
from kvae.data.masks import OfPosition
from kvae.errors import DataError
from kvae.files.completions import Completions
from kvae.runtime import inpainting
from kvae.runtime.bundle import Bundle
from kvae.runtime.class_labels import Label
from kvae.runtime.inpainting import Settings
from kvae.runtime.labelling import OfStream

MOST_R_HAT = 1.1
"""Above this split-R-hat, chains are said not to have mixed (Gelman et al., Bayesian Data Analysis, section 11.5)."""
LEAST_ACCEPTANCE = 0.01
"""Below this share of the encoder's proposals, chains stand still too long."""
NUMBERS = {"acceptance": "<f8", "r_hat": "<f8"}
"""What is known of each image's chains; see `kvae.runtime.inpainting.Inpainted`."""


@dataclass
class Mixing:
    """How well the chains of all images mixed."""

    acceptance: list[float] = field(default_factory=list)
    r_hat: list[float] = field(default_factory=list)
    unseen: int = 0
    """Images of which no pixel is seen."""

    def add(self, found: inpainting.Inpainted, unseen: bool) -> None:
        """Take in the result of one image."""
        if not np.isnan(found.acceptance[0]):
            self.acceptance.append(float(found.acceptance[0]))
            self.r_hat.append(float(found.r_hat[0]))
        self.unseen += unseen

    def as_dict(self) -> dict[str, float | int]:
        """For programs: over the images with missing pixels, the lowest, the median and the highest."""
        values: dict[str, float | int] = {"num_with_missing": len(self.acceptance)}
        for name in NUMBERS:
            found = getattr(self, name)
            low, middle, high = min(found), float(np.median(found)), max(found)
            values |= {f"{name}_min": low, f"{name}_median": middle, f"{name}_max": high}
        return values

    def as_text(self) -> str:
        """For people: one line, and one for each thing to be warned of."""
        found = self.as_dict()
        lines = [
            f"acceptance {found['acceptance_median']:.2f} (lowest {found['acceptance_min']:.2f}), split-R-hat "
            f"{found['r_hat_median']:.2f} (highest {found['r_hat_max']:.2f}), medians over "
            f"{len(self.acceptance):,} images with missing pixels"
        ]
        apart = sum(not value <= MOST_R_HAT for value in self.r_hat)
        if apart:
            lines.append(
                f"warning: the chains of {apart:,} of these images have not mixed (split-R-hat above {MOST_R_HAT}): "
                f"their draws may miss ways to complete the image, or show them too often. Raise --burn-in and --steps."
            )
        still = sum(value < LEAST_ACCEPTANCE for value in self.acceptance)
        if still:
            lines.append(
                f"warning: for {still:,} of these images fewer than {LEAST_ACCEPTANCE:.0%} of the encoder's proposals "
                f"were taken: the model does not know such images, or its encoder is poor. Raise --steps."
            )
        if self.unseen:
            lines.append(f"note: of {self.unseen:,} images no pixel is seen: their draws are from the prior")
        return "\n".join(lines)


def complete(
    bundle: Bundle,
    images: Images,
    batches: Iterator[Batch],
    settings: Settings,
    mask: OfPosition | None = None,
    label: Label | None = None,
    mixing: Mixing | None = None,
) -> Iterator[Completions]:
    """Complete a stream of images, which is read with `kvae.files.reading.Reading.holes`.

    Seen pixels come back exactly as they were read. A model of bits sees grey ones as the bits that
    `kvae.bundle.binarization` makes of them, and the missing ones that it draws are bits.

    Args:
        bundle: the model; open it with `threads=1` to be fast.
        images: the stream.
        batches: its batches; a separate argument, so that a caller can show progress.
        settings: how. The draws of an image depend on its position in the stream, those that are skipped included.
        mask: what is missing besides the pixels that the images themselves lack.
        label: the images' class, if the model has labels: a label by name or number, or one for each image.
        mixing: is told how well the chains mixed.

    Raises:
        DataError: an image does not fit, or nothing is missing in any of them.
        KvaeError: a setting is out of range, or a label is missing or not one of the model's.
    """
    inpainting.check(settings)
    labels, positions = OfStream(bundle, images, label), Positions(images)
    found_missing = False
    for names, pixels in batches:
        places = positions.of_batch(names)
        seen = pixels.copy()
        if mask is not None:
            for image, place in zip(seen, places, strict=True):
                image[np.broadcast_to(mask(place), image.shape)] = np.nan
        missing = np.isnan(seen)
        found_missing = found_missing or bool(missing.any())
        encoded = np.where(
            missing,
            np.float32(np.nan),
            binarization.as_encoded(bundle.manifest, np.where(missing, np.float32(0), seen)),
        )
        known = labels.of_batch(names, encoded)
        results = inpainting.inpaint(bundle, encoded, settings, known, places)
        for index, found in enumerate(results):
            if mixing is not None:
                mixing.add(found, bool(missing[index].all()))
            gone, numbers = missing[index : index + 1], {name: getattr(found, name) for name in NUMBERS}
            one = seen[index : index + 1]
            draws = np.where(gone[:, None], found.draws, one[:, None])
            if known is not None:
                numbers["label"] = known[index : index + 1]
            yield Completions([names[index]], one, draws, np.where(gone, found.mean, one), numbers)
    if not found_missing:
        raise DataError(
            "no pixel is missing in any of these images: give --mask or --box, or images with transparent pixels, or a "
            ".npy with NaN."
        )
