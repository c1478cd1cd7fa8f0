"""What must be said beside a number so that nobody takes it for what it is not; worded here, once, for every output."""

from typing import Any

PROBABILITY, DENSITY, SURROGATE = "log-probability", "log-density", "surrogate"


KINDS = {
    "bernoulli": PROBABILITY,
    "continuous_bernoulli": DENSITY,
    "discretized_logistic": PROBABILITY,
    "normal": DENSITY,
}
"""What log p(x|z) is, by likelihood."""


def kind(likelihood: str, binarize: str) -> str:
    """What log p(x|z) is under a likelihood: PROBABILITY, DENSITY, or SURROGATE for a Bernoulli of grey intensities."""
    if likelihood == "bernoulli" and binarize == "none":
        return SURROGATE
    return KINDS.get(likelihood, DENSITY)


def about_numbers(likelihood: str, binarize: str) -> str:
    """What the ELBO and the NLL of a model are made of."""
    found = kind(likelihood, binarize)
    if found == SURROGATE:
        return "grey intensities under a Bernoulli likelihood: a surrogate, not a likelihood"
    if found == DENSITY:
        return f"log-densities ({likelihood}) of pixels in [0, 1]: not comparable with log-probabilities"
    if likelihood == "bernoulli":
        return "log-probabilities of binarised images"
    return "log-probabilities of 8-bit images"


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
