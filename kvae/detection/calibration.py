"""What a user's own normal images score, against which other images are judged."""

from dataclasses import dataclass

import numpy as np

from kvae.bundle import binarization
from kvae.detection import conformal, statistics
from kvae.errors import KvaeError
from kvae.runtime import scoring
from kvae.runtime.class_labels import Label
from kvae.runtime.latents import Doubles, Floats
from kvae.runtime.model import Model


@dataclass(frozen=True)
class Calibration:
    """How odd normal images are. Make one with `calibrate`; keep its fields to use it again with the same model."""

    statistic: str
    """One of `kvae.detection.STATISTICS`."""
    surprise: Doubles
    """That of each reference image, `(n,)`, as `surprise` gives it."""

    def values(self, surprise: Doubles) -> Doubles:
        """The statistic of images with this surprise, `(k,)`; high is odd."""
        return abs(surprise - self.surprise.mean()) if self.statistic in statistics.TWO_SIDED else surprise

    def p_values(self, surprise: Doubles) -> Doubles:
        """The p-value of images with this surprise, `(k,)`; see `kvae.detection.p_values`.

        For typicality, the mean is that of the reference and the image itself.
        """
        return conformal.p_values(surprise, self.surprise, self.statistic in statistics.TWO_SIDED)


def surprise(
    bundle: Model,
    images: Floats,
    statistic: str | None = None,
    label: Label | None = None,
    threads: int | None = None,
) -> Doubles:
    """How odd images are to a model, `(n,)`, before any reference; high is odd.

    Args:
        bundle: the model, with its encoder; it is faster if opened with `threads=1`.
        images: `(n, height, width, channels)` in [0, 1]. For a model of bits, grey ones are binarised as `kvae score`
            does it, with one pattern for all.
        statistic: one of `kvae.detection.STATISTICS`. For typicality, this is -ELBO; a `Calibration` measures it
            from the reference's mean. Default: complexity for a model of 8-bit images, else elbo.
        label: the images' class, if the model has labels: a label by name or number, one for each image, or "best".
        threads: groups of images to process at a time; None, the default, is one per core.

    Raises:
        KvaeError: as `kvae.runtime.scoring.score`, or the statistic is unknown or means nothing for the model.
    """
    statistic = statistic or statistics.default_for(bundle)
    statistics.check(bundle, statistic)
    encoded = binarization.as_encoded(bundle.manifest, np.asarray(images, np.float32))
    scores = scoring.score(bundle, encoded, *scoring.recorded_settings(bundle.manifest), threads, label)
    return statistics.surprise(bundle, statistic, encoded, scores, threads)


def calibrate(
    bundle: Model,
    images: Floats,
    statistic: str | None = None,
    label: Label | None = None,
    threads: int | None = None,
) -> Calibration:
    """Score normal images, against which others are judged; arguments and errors as for `surprise`.

    The images must not be those that the model was trained on, to which it gives higher likelihoods than to any others.
    """
    if not len(images):
        raise KvaeError("a reference needs at least one image; got none.")
    statistic = statistic or statistics.default_for(bundle)
    return Calibration(statistic, surprise(bundle, images, statistic, label, threads))
