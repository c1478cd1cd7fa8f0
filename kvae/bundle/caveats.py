"""Caveats that must accompany a number so that nobody misreads it; worded once, here, for every output."""

from typing import Any

from kvae.config import LIKELIHOODS
from kvae.files.text import printable
from kvae.numbers import is_finite

SURROGATE = "surrogate"
"""The kind of the numbers of grey intensities under a Bernoulli likelihood; see `kind` for the others."""


def kind(likelihood: str, binarize: str) -> str:
    """What log p(x|z) is: the likelihood's own `kind`, or SURROGATE for a Bernoulli of grey intensities."""
    if likelihood == "bernoulli" and binarize == "none":
        return SURROGATE
    return _likelihood(likelihood)[0]


def about_numbers(likelihood: str, binarize: str, labelled: bool = False) -> str:
    """What the ELBO and the NLL of a model are; `labelled` if it has labels."""
    if labelled:
        return f"{about_numbers(likelihood, binarize)}, of each image given its label: log p(x|y)"
    if kind(likelihood, binarize) == SURROGATE:
        return "grey intensities under a Bernoulli likelihood: a surrogate, not a likelihood"
    found, images = _likelihood(likelihood)
    if found == "log-density":
        return f"log-densities ({likelihood}) of {images}: not comparable with log-probabilities"
    return f"log-probabilities of {images}"


def _likelihood(name: str) -> tuple[str, str]:
    """The kind and the images of a likelihood; for one that this kvae does not know, the weakest claim."""
    from kvae import likelihoods  # here, because it loads numpy

    if name not in LIKELIHOODS:
        return likelihoods.DENSITY, "pixels in [0, 1]"
    found = likelihoods.get(name)
    return found.kind, found.images


def about_loss(beta: float, entropy_weight: float, free_bits: float = 0.0) -> str | None:
    """The caveat for a loss distortion + beta (H(q, p) - entropy_weight H(q)); None if it is the negative ELBO.

    With free bits the regulariser is the sum over latent dimensions of max(free_bits, KL of the dimension).
    """
    if entropy_weight != 1.0:
        return (
            f"the loss weights the posterior's entropy by {entropy_weight:g}, not 1: it is not a bound on the negative "
            f"log-likelihood"
        )
    free = f"the loss counts at least {free_bits:g} nats for each latent dimension (free bits)" if free_bits else ""
    if beta == 1.0:
        return f"{free}: a looser bound than the negative ELBO" if free else None
    weighted = f"{free} and weights the KL by {beta:g}" if free else f"the loss weights the KL by {beta:g}"
    if beta < 1.0:
        return f"{weighted}: below 1 it is not a bound on the negative log-likelihood"
    return f"{weighted}: a looser bound than the negative ELBO"


def about_draws(num_draws: int) -> str | None:
    """The caveat for the importance-weighted loss of several draws; None for one draw, whose mean is that of the ELBO.

    Reference: Burda et al., arXiv 1509.00519, theorem 1.
    """
    if num_draws == 1:
        return None
    return (
        f"the loss is the importance-weighted bound of {num_draws} draws: a bound on the negative log-likelihood, and "
        f"never looser than the negative ELBO"
    )


def about_training(training: dict[str, Any]) -> str | None:
    """The caveat for the loss of a manifest's training settings: the objective's own, or else `about_loss`.

    None if there is neither such a caveat nor weights of the kind that `about_loss` takes.
    """
    own = training.get("loss_caveat")
    if isinstance(own, str):
        return printable(own)
    weights = [training.get(name, default) for name, default in (("beta", 1.0), ("entropy_weight", 1.0))]
    weights.append(training.get("free_bits", 0.0))
    if not all(map(is_finite, weights)):
        return None
    return about_loss(*weights)


def about_schedule(training: dict[str, Any]) -> str | None:
    """What to say beside the training losses of single epochs if beta changed meanwhile; None if it did not.

    Validation, the best model and all metrics use the full weight, so this is not a caveat about them.

    Args:
        training: the settings of a training, as `TrainConfig.to_dict` gives them.
    """
    schedule, epochs = training.get("beta_schedule"), training.get("kl_warmup_epochs")
    if schedule == "cyclical":
        how = "goes from 0 to beta in each quarter of the training"
    elif schedule == "linear" and not epochs:
        how = "grows from 0 to beta in the first half of the training"
    elif isinstance(schedule, str) and schedule != "linear":
        how = f"is {printable(schedule, 80)} in the first epochs"
    elif is_finite(epochs) and epochs:
        how = f"grows from 0 to beta in the first {epochs:g} epochs"
    else:
        return None
    return f"the training loss's weight of the KL {how}: compare its epochs by the validation loss"


def about_shift(training: dict[str, Any]) -> str | None:
    """What to say beside the training losses if the training images were moved; None if they were not.

    Args:
        training: the settings of a training, as `TrainConfig.to_dict` gives them.
    """
    pixels = training.get("shift")
    if not is_finite(pixels) or not pixels:
        return None
    unit = "pixel" if pixels == 1 else "pixels"
    return f"the training losses are of images moved by up to {pixels:g} {unit}; validation and test images stay put"
