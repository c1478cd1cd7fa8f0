"""Which numbers of two models may be compared, and if not, why: decided and worded here, for every table and page.

Two numbers belong on one scale if they are of one kind (see `kvae.bundle.caveats.kind`) and come from the same images.
The ELBO and its terms may then be subtracted. An NLL by importance sampling is an upper bound in expectation, and the
difference of two bounds bounds nothing: NLLs are subtracted only if both are estimates made with the same number of
draws. Reference: Burda et al., Importance weighted autoencoders, arXiv 1509.00519 (the bound, and how it tightens with
the number of draws).
"""

from typing import NamedTuple

from kvae.bundle import caveats
from kvae.bundle.manifest import Manifest

BY_SAMPLING = ("nll", "gap", "bits_per_dim", "nll_marginal")
"""The numbers that contain an NLL estimate by importance sampling."""


class Measured(NamedTuple):
    """What a model's numbers are, and which images they were measured on."""

    likelihood: str
    binarize: str
    dataset: str
    """The name of the data set, as messages show it."""
    images: str
    """Equal for equal images: a hash of them, or of their data set."""
    image_shape: tuple[int, ...]
    given_label: bool = False
    """Whether they are about images given their labels, log p(x|y), and not log p(x)."""


class Sampled(NamedTuple):
    """How an NLL was estimated."""

    importance_samples: int
    proposal: str
    is_estimate: bool
    """Whether enough draws count for the NLL to be an estimate; if not, it is an upper bound, however far above."""


def of_manifest(manifest: Manifest) -> Measured:
    """What the numbers of a bundle are, on the test images of its data set."""
    name, sha256 = manifest.dataset["name"], manifest.dataset["sha256"]
    shape = tuple(manifest.image_shape)
    return Measured(manifest.likelihood, manifest.binarize, name, sha256, shape, manifest.labels is not None)


def why_not(one: Measured, other: Measured) -> str | None:
    """Why no number of these two models may be compared; None if the ELBO and its terms may."""
    if one.image_shape != other.image_shape:
        shapes = [" x ".join(map(str, measured.image_shape)) for measured in (one, other)]
        return f"their images have different shapes: {shapes[0]} and {shapes[1]}"
    if caveats.kind(one.likelihood, one.binarize) != caveats.kind(other.likelihood, other.binarize):
        about = [caveats.about_numbers(measured.likelihood, measured.binarize) for measured in (one, other)]
        return f"one has {about[0]}; the other {about[1]}"
    if one.given_label != other.given_label:
        return "one is about images given their labels, log p(x|y), and the other about images alone, log p(x)"
    if (one.images, one.binarize) != (other.images, other.binarize):
        return (
            f"their test images differ ({one.dataset}, binarize {one.binarize}; "
            f"{other.dataset}, binarize {other.binarize})"
        )
    return None


def why_no_nll(one: Sampled, other: Sampled) -> str | None:
    """Why two NLLs on the same images must not be subtracted; None if their paired difference means something."""
    if one.importance_samples != other.importance_samples:
        return (
            f"one was measured with {one.importance_samples:,} importance samples and the other with "
            f"{other.importance_samples:,}, and fewer samples give a higher number"
        )
    if one.proposal != other.proposal:
        return f"one was sampled from the {one.proposal} proposal and the other from the {other.proposal} one"
    bounds = sum(not sampled.is_estimate for sampled in (one, other))
    if bounds:
        which = "both are only upper bounds" if bounds == 2 else "one is only an upper bound"
        return f"{which}, because the effective sample size is too small; use more --importance-samples"
    return None
