"""Tiny models that need format 2, and their bundles: labels, priors of their own, posteriors in groups.

`make_member(prior="mixture", labelled=True, groups=(1, 2))` is one model; `export_member` exports it as a bundle.
"""

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from keras import layers
from tiny import DATASET, IMAGE_SHAPE

from kvae.export.bundles import Exported, export
from kvae.model.priors import Fixed, Prior, StandardNormal
from kvae.model.vae import VAE

tfd = tfp.distributions

LATENT_DIM = 3
LABELS = ["left shoe", "right shoe", "ankle boot"]
LABEL_COUNTS = [1, 2, 5]
PROBS = [0.5, 0.25, 0.125, 0.125]
"""The weights of the mixture prior's components."""
PRIORS = ("standard_normal", "mixture", "warped", "by_label")
MEMBERS = {
    "mixture": {"prior": "mixture"},
    "labelled": {"labelled": True},
    "groups": {"groups": (1, 2)},
    "by_label": {"prior": "by_label", "labelled": True, "label_in": ("decoder",)},
    "all": {"prior": "warped", "labelled": True, "groups": (1, 2), "label_in": ("encoder",)},
}
"""Arguments of `make_member`: each part of format 2 alone, and then together, with networks that ignore the label."""


@keras.saving.register_keras_serializable("tests")
class Features(keras.layers.Layer):
    """Dense features, with a one-hot label appended to the inputs if there are labels."""

    def __init__(self, units: int, num_labels: int | None = None, **kwargs) -> None:
        super().__init__(**kwargs)
        self.units = units
        self.num_labels = num_labels
        self.flatten = layers.Flatten()
        self.dense = layers.Dense(units, "tanh")

    def call(self, inputs, label=None):
        values = self.flatten(inputs)
        if self.num_labels is not None:
            values = tf.concat([values, tf.one_hot(label, self.num_labels)], axis=1)
        return self.dense(values)

    def get_config(self):
        return super().get_config() | {"units": self.units, "num_labels": self.num_labels}


class Chain(tfd.Distribution):
    """A posterior in groups: the means and the scales of each group depend on the codes of those before it.

    Args:
        loc: the means without the groups before, `(batch, latent_dim)`.
        scale: the same of the standard deviations.
        mix: strictly lower triangular in blocks, `(latent_dim, latent_dim)`: what each code adds to later means.
        groups: the sizes of the groups.
    """

    def __init__(self, loc, scale, mix, groups) -> None:
        self.loc, self.scale, self.mix, self.groups = loc, scale, mix, tuple(groups)
        super().__init__(tf.float32, tfd.FULLY_REPARAMETERIZED, validate_args=False, allow_nan_stats=True)

    def at(self, noise):
        parts, locs, scales, first = [], [], [], 0
        for size in self.groups:
            part = slice(first, first + size)
            above = tf.concat([*parts, tf.zeros_like(noise[..., first:])], axis=-1)
            moved = tf.reshape(tf.reshape(above, [-1, sum(self.groups)]) @ self.mix, tf.shape(noise))
            loc = self.loc[:, part] + moved[..., part]
            scale = self.scale[:, part] * (0.5 + tf.sigmoid(moved[..., part]))
            parts.append(loc + scale * noise[..., part])
            locs.append(loc)
            scales.append(scale)
            first += size
        codes = tf.concat(parts, axis=-1)
        at_them = tfd.MultivariateNormalDiag(tf.concat(locs, axis=-1), tf.concat(scales, axis=-1))
        return tf.reshape(codes, [-1, sum(self.groups)]), at_them

    def _event_shape(self):
        return tf.TensorShape([sum(self.groups)])

    def _event_shape_tensor(self):
        return tf.constant([sum(self.groups)])

    def _batch_shape(self):
        return self.loc.shape[:1]

    def _batch_shape_tensor(self):
        return tf.shape(self.loc)[:1]

    def _mean(self):
        return self.at(tf.zeros_like(self.loc)[None])[0]

    def _log_prob(self, value):
        raise NotImplementedError("only at draws, by `at`")


@keras.saving.register_keras_serializable("tests")
class MemberEncoder(keras.Model):
    """Images [and labels] to a diagonal Gaussian, or with `groups` to a `Chain`."""

    def __init__(self, latent_dim=LATENT_DIM, num_labels=None, groups=None, **kwargs) -> None:
        super().__init__(**kwargs)
        self.latent_dim = latent_dim
        self.num_labels = num_labels
        self.groups = None if groups is None else tuple(groups)
        self.features = Features(6, num_labels)
        self.loc = layers.Dense(latent_dim)
        self.scale = layers.Dense(latent_dim, "softplus")
        mix = 0.7 * np.random.default_rng(1).normal(size=(latent_dim, latent_dim))
        self.mix = np.float32(np.triu(mix, 1))  # row: the code, column: what it moves

    def call(self, images, label=None):
        features = self.features(images, label)
        loc, scale = self.loc(features), self.scale(features) + 1e-2
        if self.groups is None:
            return tfd.MultivariateNormalDiag(loc, scale)
        return Chain(loc, scale, tf.constant(self.mix), self.groups)

    def get_config(self):
        return super().get_config() | {
            "latent_dim": self.latent_dim,
            "num_labels": self.num_labels,
            "groups": self.groups,
        }


@keras.saving.register_keras_serializable("tests")
class MemberDecoder(keras.Model):
    """Codes [and labels] to a Bernoulli of each pixel."""

    def __init__(self, num_labels=None, **kwargs) -> None:
        super().__init__(**kwargs)
        self.num_labels = num_labels
        self.features = Features(6, num_labels)
        self.pixels = layers.Dense(64)
        self.shape = layers.Reshape(IMAGE_SHAPE)

    def call(self, z, label=None):
        logits = self.shape(self.pixels(self.features(z, label)))
        return tfd.Independent(tfd.Bernoulli(logits=logits, dtype=tf.float32), 3)

    def get_config(self):
        return super().get_config() | {"num_labels": self.num_labels}


def mixture() -> Fixed:
    """A mixture of four Gaussians with different weights."""
    rng = np.random.default_rng(2)
    return Fixed(
        tfd.MixtureSameFamily(
            tfd.Categorical(probs=PROBS),
            tfd.MultivariateNormalDiag(
                np.float32(1.5 * rng.normal(size=(4, LATENT_DIM))),
                np.float32(rng.uniform(0.3, 0.9, size=(4, LATENT_DIM))),
            ),
        )
    )


@keras.saving.register_keras_serializable("tests")
class Warped(Prior):
    """A user's own prior, whose draws are sinh of a Gaussian's: it defines `from_noise` itself."""

    def build(self, input_shape=None):
        self.shift = self.add_weight(shape=(self.latent_dim,), initializer="ones", name="shift")
        self.built = True

    def call(self, label=None):
        base = tfd.MultivariateNormalDiag(tf.convert_to_tensor(self.shift), 0.5 * tf.ones(self.latent_dim))
        return tfd.TransformedDistribution(base, tfp.bijectors.Sinh())

    def from_noise(self, noise, component=None, label=None):
        return tf.sinh(tf.convert_to_tensor(self.shift) + 0.5 * noise)


@keras.saving.register_keras_serializable("tests")
class ByLabel(Prior):
    """A prior p(z|y): a Gaussian for each label."""

    def __init__(self, latent_dim, num_labels, **kwargs):
        super().__init__(latent_dim, **kwargs)
        self.num_labels = num_labels

    def build(self, input_shape=None):
        shape = (self.num_labels, self.latent_dim)
        self.loc = self.add_weight(shape=shape, initializer=keras.initializers.RandomNormal(1.0, seed=3), name="loc")
        self.built = True

    def call(self, label=None):
        loc = tf.gather(tf.convert_to_tensor(self.loc), label)
        return tfd.MultivariateNormalDiag(loc, 0.8 * tf.ones_like(loc))

    def get_config(self):
        return super().get_config() | {"num_labels": self.num_labels}


def make_member(
    prior: str = "standard_normal",
    *,
    labelled: bool = False,
    groups: tuple[int, ...] | None = None,
    label_in: tuple[str, ...] = ("encoder", "decoder"),
    seed: int = 0,
) -> VAE:
    """An untrained model with 3 latent dimensions.

    Args:
        prior: one of `PRIORS`; "by_label" needs labels.
        labelled: whether it is conditional, on `LABELS`.
        groups: the sizes of the posterior's groups.
        label_in: which networks of a conditional model take the label; the others ignore it.
        seed: of the weights.
    """
    keras.utils.set_random_seed(seed)
    count = {role: len(LABELS) if labelled and role in label_in else None for role in ("encoder", "decoder")}
    priors = {
        "standard_normal": lambda: StandardNormal(LATENT_DIM),
        "mixture": mixture,
        "warped": lambda: Warped(LATENT_DIM),
        "by_label": lambda: ByLabel(LATENT_DIM, len(LABELS)),
    }
    encoder = MemberEncoder(LATENT_DIM, count["encoder"], groups)
    vae = VAE(encoder, MemberDecoder(count["decoder"]), priors[prior](), seed=seed)
    vae.build((None, *IMAGE_SHAPE))
    return vae


def export_member(out: Path, prior: str = "standard_normal", *, labelled: bool = False, **settings) -> Exported:
    """The bundle of `make_member`; settings as there."""
    return export(make_member(prior, labelled=labelled, **settings), out, dataset=DATASET, **label_arguments(labelled))


def label_arguments(labelled: bool) -> dict[str, list]:
    """The arguments of `export` about the labels of a model."""
    return {"labels": LABELS, "label_counts": LABEL_COUNTS} if labelled else {}
