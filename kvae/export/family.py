"""Which member of the family a VAE is: the manifest's fields on its labels, its prior and its groups."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from kvae.bundle.fields import MAX_COMPONENTS, MAX_ENTRIES, MAX_LABEL, STANDARD_NORMAL
from kvae.bundle.manifest import needed_format
from kvae.bundle.noise import cumulative
from kvae.config import PRIORS
from kvae.errors import KvaeError
from kvae.export import prior_draws
from kvae.export.functions import called
from kvae.export.tensors import is_standard_normal
from kvae.files.text import printable
from kvae.model import priors
from kvae.model.calls import takes_label
from kvae.model.posteriors import Hierarchical
from kvae.model.priors import Fixed, Prior
from kvae.model.vae import VAE


class Family(NamedTuple):
    """What tells a VAE from one with the prior N(0, I), without labels and groups: fields of the manifest."""

    prior: str
    components: list[int] | None
    labels: list[str] | None
    label_weights: list[int] | None
    groups: list[int] | None

    @property
    def format_version(self) -> int:
        """The version of the bundle's format that it needs."""
        return needed_format(self.prior, self.labels, self.groups)

    @property
    def kinds(self) -> dict[str, bool]:
        """The arguments of `kvae.bundle.manifest.contract` that say which tensors its graphs have."""
        return {
            "labelled": self.labels is not None,
            "hierarchical": self.groups is not None,
            "own_prior": self.prior != STANDARD_NORMAL,
            "components": self.components is not None,
        }


def of(vae: VAE, labels: Sequence[str] | None = None, counts: Sequence[int] | None = None) -> Family:
    """The family of a built VAE.

    Args:
        vae: the model.
        labels: the names of its classes, if it is conditional.
        counts: how many training images have each label; by default all are as likely.

    Raises:
        KvaeError: the labels are not those of the model, or a bundle cannot describe its prior or its groups.
    """
    weights = _label_weights(vae, labels, counts)
    standard = is_standard_normal(vae.prior)
    components = None if standard else _components(vae.prior)
    if not standard:
        _check_draws(vae.prior, components)
        prior_draws.check(vae.prior, components)
    return Family(
        prior=STANDARD_NORMAL if standard else prior_name(vae.prior),
        components=components,
        labels=None if labels is None else list(labels),
        label_weights=weights,
        groups=_groups(vae),
    )


def check_image_labels(vae: VAE, name: str, images: Any, labels: Any) -> None:
    """Raise KvaeError unless images have a label each if the model takes labels, and none if it does not.

    Args:
        vae: the model.
        name: the argument's name, for the message.
        images: the images, `(n, height, width, channels)`, or None.
        labels: their labels, `(n,)`, or None.
    """
    number = vae.num_labels
    if images is None or number is None or labels is None:
        if labels is not None:
            what = "images" if number is not None else "model without labels"
            raise KvaeError(f"{name} was given {'without ' if number is not None else 'for a '}{what}.")
        if images is not None and number is not None:
            raise KvaeError(f"this model has {number} classes; pass {name}, the label of each image.")
        return
    given = np.asarray(labels)
    if given.dtype.kind not in "iu" or given.shape != (len(images),):
        raise KvaeError(
            f"{name} must be integers ({len(images)},), one for each image; got {given.dtype} {given.shape}."
        )
    if len(given) and not (given.min() >= 0 and given.max() < number):
        raise KvaeError(f"{name} must be from 0 to {number - 1}; got {given.min()} to {given.max()}.")


def placeholder_labels(vae: VAE) -> list[str] | None:
    """Names for the classes of a model whose own are not known yet: "0", "1", ...; None if it takes no labels."""
    return None if vae.num_labels is None else [str(number) for number in range(vae.num_labels)]


def prior_name(prior: Prior) -> str:
    """A prior's name in `kvae.config.PRIORS`; of another one, the name of its class or of its distribution's."""
    folder, _, name = type(prior).__module__.rpartition(".")
    if folder == priors.__name__ and name in PRIORS and name != STANDARD_NORMAL:
        return name
    named = type(prior.distribution if isinstance(prior, Fixed) else prior).__name__.lstrip("_")
    return f"own_{named}" if named in PRIORS else printable(named, MAX_LABEL)


def _check_draws(prior: Prior, components: list[int] | None) -> None:
    """Refuse a prior whose draws are not known as a function of noise."""
    first, noise = tf.zeros(1, tf.int64), tf.zeros((1, prior.latent_dim))
    component, label = None if components is None else first, first if takes_label(prior) else None
    try:
        z = prior.from_noise(noise, component, label)
        fits = tuple(z.shape) == tuple(noise.shape)
    except NotImplementedError as error:
        reason = f" ({printable(error).rstrip('.')})" if str(error) else ""
        named = printable(prior.distribution, 60) if isinstance(prior, Fixed) else type(prior).__name__
        raise KvaeError(
            f"a bundle needs draws from the prior {named} as a function of noise{reason}. Define from_noise(noise, "
            f"component, label) in a subclass of kvae.model.Prior."
        ) from None
    except Exception as error:  # a user's own code
        raise KvaeError(f"from_noise of the prior {type(prior).__name__} fails: {printable(error, 160)}") from None
    if not fits:
        raise KvaeError(
            f"from_noise of the prior {type(prior).__name__} must return codes of the noise's shape (batch, "
            f"{prior.latent_dim}); it returns {tuple(z.shape)} for one row."
        )


def _components(prior: Prior) -> list[int] | None:
    """The cumulative weights of a mixture's components."""
    try:
        probs = prior.component_probs()
    except NotImplementedError as error:
        raise KvaeError(f"the prior {type(prior).__name__} cannot be exported: {printable(error)}") from None
    if probs is None:
        return None
    values: NDArray[np.float64] = np.asarray(probs, np.float64)
    if values.ndim != 1 or not 0 < len(values) <= MAX_COMPONENTS:
        raise KvaeError(
            f"the prior must have 1 to {MAX_COMPONENTS:,} components; its component_probs have shape {values.shape}."
        )
    if not (np.isfinite(values).all() and values.min() >= 0.0 and values.max() > 0.0):
        raise KvaeError("the probabilities of the prior's components must be finite, at least 0 and not all 0.")
    return cumulative(values)


def _label_weights(vae: VAE, labels: Sequence[str] | None, counts: Sequence[int] | None) -> list[int] | None:
    number = vae.num_labels
    if number is None:
        if labels is not None or counts is not None:
            raise KvaeError("labels were given for a model without labels: none of its parts has num_labels.")
        return None
    if labels is None:
        raise KvaeError(f"this model has {number} classes; pass their names as labels, in the order of their numbers.")
    if isinstance(labels, str) or len(labels) != number or number > MAX_ENTRIES:
        raise KvaeError(
            f"labels must be {number} names, one for each class of the model, at most {MAX_ENTRIES:,}; "
            f"got {1 if isinstance(labels, str) else len(labels)}."
        )
    values = np.ones(number) if counts is None else np.asarray(counts, np.float64)
    if values.shape != (number,) or not (np.isfinite(values).all() and values.min() >= 0.0 and values.max() > 0.0):
        raise KvaeError(f"label_counts must be {number} numbers of at least 0, not all 0; got {printable(counts, 60)}.")
    return cumulative(values)


def _groups(vae: VAE) -> list[int] | None:
    """The sizes of the groups of latent dimensions, if each group's posterior depends on the draws before it."""
    groups = getattr(vae.encoder, "groups", None)
    found = called(vae.encoder, tf.zeros((1, *vae.image_shape)), label=tf.zeros(1, tf.int64))
    if isinstance(found, Hierarchical):
        if groups is None:
            raise KvaeError(
                f"the encoder returns {printable(found, 60)}, a posterior in groups; give the encoder the attribute "
                f"'groups', the sizes of its groups of latent dimensions."
            )
        sizes = [int(size) for size in groups]
        if min(sizes, default=0) < 1 or sum(sizes) != vae.latent_dim:
            raise KvaeError(
                f"the encoder's groups must be positive and add up to {vae.latent_dim}, its latent_dim; got {sizes}."
            )
        return sizes
    return None
