"""What must be said beside a number so that nobody takes it for what it is not; worded here, once, for every output."""

from typing import Any

from kvae.config import LIKELIHOODS

SURROGATE = "surrogate"
"""What the numbers of grey intensities under a Bernoulli likelihood are; see `kind` for the others."""


def kind(likelihood: str, binarize: str) -> str:
    """What log p(x|z) is: the likelihood's own `kind`, or SURROGATE for a Bernoulli of grey intensities."""
    if likelihood == "bernoulli" and binarize == "none":
        return SURROGATE
    return _likelihood(likelihood)[0]


def about_numbers(likelihood: str, binarize: str) -> str:
    """What the ELBO and the NLL of a model are made of."""
    if kind(likelihood, binarize) == SURROGATE:
        return "grey intensities under a Bernoulli likelihood: a surrogate, not a likelihood"
    found, images = _likelihood(likelihood)
    if found == "log-density":
        return f"log-densities ({likelihood}) of {images}: not comparable with log-probabilities"
    return f"log-probabilities of {images}"


def _likelihood(name: str) -> tuple[str, str]:
    """Kind and images of a likelihood; of one that this kvae does not know, what claims least."""
    from kvae import likelihoods  # which load numpy

    if name not in LIKELIHOODS:
        return likelihoods.DENSITY, "pixels in [0, 1]"
    found = likelihoods.get(name)
    return found.kind, found.images


def about_loss(beta: float, entropy_weight: float) -> str | None:
    """What to say of a loss distortion + beta (H(q, p) - entropy_weight H(q)) that is not the negative ELBO."""
    if entropy_weight != 1.0:
        return (
            f"the loss weighs the posterior's entropy by {entropy_weight:g}, not 1: it is not a bound on the negative "
            f"log-likelihood"
        )
    if beta < 1.0:
        return f"the loss weighs the KL by {beta:g}: below 1 it is not a bound on the negative log-likelihood"
    if beta > 1.0:
        return f"the loss weighs the KL by {beta:g}: a looser bound than the negative ELBO"
    return None


def about_training(training: dict[str, Any]) -> str | None:
    """`about_loss` of a manifest's training settings; None where they hold no such weights."""
    weights = [training.get(name, 1.0) for name in ("beta", "entropy_weight")]
    if not all(isinstance(weight, (int, float)) and abs(weight) < 1e300 for weight in weights):
        return None
    return about_loss(*weights)
