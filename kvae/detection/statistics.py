"""The statistics by which images are told odd from normal: a number for each image; high is odd.

| name | what | odd is |
|---|---|---|
| elbo | -ELBO in nats | what the model finds improbable |
| nll | -log p(x) in nats, by importance sampling | the same, with a tighter bound |
| typicality | distance of the ELBO from the reference's mean, in nats | what is too improbable, or too probable |
| complexity | -ELBO in bits, minus the bits of a lossless compressor | what costs more than its complexity explains |

A model gives simple images a high likelihood, even ones it has never seen: Nalisnick et al., Do deep generative models
know what they don't know?, arXiv 1810.09136. Typicality is the test of Nalisnick et al., arXiv 1906.02994, for one
image; complexity is the score of Serrà et al., arXiv 1909.11480.
"""

import math

from kvae.bundle import caveats
from kvae.detection import compressor
from kvae.errors import KvaeError
from kvae.runtime import scoring
from kvae.runtime.latents import Doubles, Floats
from kvae.runtime.model import Model

STATISTICS = ("elbo", "nll", "typicality", "complexity")
"""Their names; which is the default depends on the model, see `default_for`."""
TWO_SIDED = ("typicality",)
"""Those of which both tails are odd, so that they need a reference."""


def default_for(model: Model) -> str:
    """The statistic that finds most odd images, as measured in docs/results.md.

    For 8-bit images it is complexity, as simple strangers have a high ELBO there; for bits, and where there is no code
    length, the ELBO.
    """
    return "complexity" if model.manifest.likelihood == "discretized_logistic" else "elbo"


def check(model: Model, statistic: str) -> None:
    """Raise KvaeError if there is no such statistic, or if it means nothing for this model."""
    if statistic not in STATISTICS:
        raise KvaeError(f"statistic must be one of {', '.join(STATISTICS)}; got '{statistic}'.")
    manifest = model.manifest
    kind = caveats.kind(manifest.likelihood, manifest.binarize)
    if statistic == "complexity" and kind == caveats.SURROGATE:
        raise KvaeError(
            "complexity compares a model's bits with a compressor's, but this model's ELBO is of grey intensities "
            "under a Bernoulli likelihood: a surrogate, not a code length. Choose another statistic."
        )


def surprise(
    model: Model, statistic: str, images: Floats, scores: scoring.Scores, threads: int | None = None
) -> Doubles:
    """The number of each image, `(n,)`, high is odd; for typicality -ELBO, which `Calibration` measures from the mean.

    Args:
        model: the model.
        statistic: one of `STATISTICS`.
        images: as the encoder takes them, `(n, height, width, channels)`.
        scores: their scores, from `kvae.runtime.scoring.score`.
        threads: as there.
    """
    if statistic == "nll":
        return scoring.nll(model, images, seed=scoring.recorded_settings(model.manifest)[1], threads=threads,
                           label=scores.label)  # fmt: skip
    if statistic == "complexity":
        return -scores.elbo / math.log(2) - compressor.bits(images, model.manifest.is_of_bits)
    return -scores.elbo
