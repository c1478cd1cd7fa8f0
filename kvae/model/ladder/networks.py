"""The encoder and the decoder of a ladder."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from kvae import likelihoods
from kvae.errors import KvaeError
from kvae.model.ladder import bottom_up, memo
from kvae.model.ladder.plan import Plan
from kvae.model.ladder.posterior import Choose, HierarchicalPosterior
from kvae.model.ladder.top_down import TopDown
from kvae.steps import inputs
from kvae.steps.set_once import SetOnce


@keras.saving.register_keras_serializable("kvae")
class LadderDecoder(SetOnce, keras.Model):
    """A code z -> the likelihood p(x|z), a distribution over images.

    Args:
        plan: the ladder's sizes.
        likelihood: a name in `kvae.config.LIKELIHOODS`. Default "bernoulli".
        num_labels: number of classes, for p(x|z, y); None for a decoder without labels.

    Call with z `(batch, latent_dim)`, standard normal noise for samples, and labels `(batch,)` if it has `num_labels`;
    returns `tfd.Independent` with event `(height, width, channels)`. Codes that a `LadderEncoder`'s posterior has just
    drawn are decoded without another top-down pass; see `kvae.model.ladder.memo`.
    """

    set_once = ("body", "likelihood", "num_labels", "plan")

    def __init__(self, plan: Plan, likelihood: str = "bernoulli", num_labels: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.autocast = False  # a cast would make other codes of them than those that were drawn
        self.plan = plan
        self.likelihood = likelihood
        self.num_labels = num_labels
        self._likelihood = likelihoods.get(likelihood)
        outputs = plan.image_shape[-1] * len(self._likelihood.parameters)
        self.body = TopDown(plan, outputs, num_labels, name="top_down")

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.body.build(input_shape)
        self.built = True

    def call(self, z: tf.Tensor, label: tf.Tensor | None = None, training: bool = False) -> Any:
        label = checked(self, label)
        state = memo.recall(z, self.body, label)
        outputs = self.body(z, label) if state is None else self.body.finish(state)
        return self._likelihood.of_images(tf.cast(outputs, tf.float32))

    def get_config(self) -> dict[str, Any]:
        own = {"plan": self.plan.to_dict(), "likelihood": self.likelihood, "num_labels": self.num_labels}
        return super().get_config() | own

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "LadderDecoder":
        return cls(**(config | {"plan": Plan.from_dict(config["plan"])}))


@keras.saving.register_keras_serializable("kvae")
class LadderEncoder(SetOnce, keras.Model):
    """Images -> the posterior q(z|x) = product over groups of q(z_l | z_<l, x).

    The posterior of a group depends on the top-down state that the groups above it lead to, which the decoder computes:
    a VAE binds its encoder to its decoder. The top-down network's weights belong to the decoder alone.

    Args:
        plan: the ladder's sizes, the same as the decoder's.
        num_labels: number of classes, for q(z|x, y); None for an encoder without labels.

    Call with images `(batch, height, width, channels)` in [0, 1], and labels `(batch,)` if it has `num_labels`; returns
    a `HierarchicalPosterior` with event `(latent_dim,)`, which at first is the prior N(0, I).
    """

    set_once = ("body", "heads", "num_labels", "plan")
    image_range: inputs.Range = inputs.UNIT
    """What the images may hold; the model that the encoder is a part of sets it."""

    def __init__(self, plan: Plan, num_labels: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.plan = plan
        self.num_labels = num_labels
        self.body = bottom_up.BottomUp(plan, num_labels, name="bottom_up")
        self.heads = bottom_up.heads(plan)
        self._decoder: Callable[[], LadderDecoder | None] = lambda: None

    @property
    def groups(self) -> list[int]:
        """The sizes of the groups of latent dimensions, in the order in which they are drawn."""
        return self.plan.groups

    @property
    def latent_dim(self) -> int:
        """The size of a code: the sum of the groups."""
        return self.plan.latent_dim

    def bind(self, decoder: Any) -> None:
        """Use the top-down network of this decoder.

        Raises:
            KvaeError: it is not a ladder's, or has other sizes.
        """
        if not isinstance(decoder, LadderDecoder):
            raise KvaeError(f"a LadderEncoder needs a LadderDecoder; got a {type(decoder).__name__}.")
        if decoder.plan != self.plan or decoder.num_labels != self.num_labels:
            raise KvaeError("a ladder's encoder and decoder must have the same plan and the same num_labels.")
        self._decoder = lambda: decoder  # in a function: as an attribute, its weights would count as the encoder's too

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.body.build(input_shape)
        self.heads[0].build((None, self.plan.hidden_units))
        levels = [level for level in reversed(self.plan.levels) for _ in level.groups]
        for head, level in zip(self.heads[1:], levels, strict=True):
            head.build((None, *level.shape))
        self.built = True

    def call(self, images: tf.Tensor, label: tf.Tensor | None = None, training: bool = False) -> HierarchicalPosterior:
        inputs.check_values(images, self.image_range)
        label = checked(self, label)
        evidence = self.body(images, label)

        def descend(choose: Choose, draws: Any) -> memo.Memory:
            body = self._top_down()
            repeated = [memo.tiled(values, draws) for values in evidence]

            def codes(number: int, active: tf.Tensor | None) -> tf.Tensor:
                head = self.heads[number]
                return choose(*(head(repeated[0]) if active is None else head(active, repeated[number])))

            of_all = None if label is None else memo.tiled(label, draws)
            return memo.Memory(body, label, body.descend(codes, of_all))

        return HierarchicalPosterior(descend, self.groups, _count(images))

    def _top_down(self) -> TopDown:
        decoder = self._decoder()
        if decoder is None:
            raise KvaeError("this LadderEncoder has no decoder yet: make a VAE of both, or call encoder.bind(decoder).")
        if not decoder.built:
            decoder.build((None, self.latent_dim))
        return decoder.body

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"plan": self.plan.to_dict(), "num_labels": self.num_labels}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "LadderEncoder":
        return cls(**(config | {"plan": Plan.from_dict(config["plan"])}))


def checked(network: Any, label: tf.Tensor | None) -> tf.Tensor | None:
    """The labels that a network uses; KvaeError if it needs them and there are none."""
    if network.num_labels is None:
        return None
    if label is None:
        raise KvaeError(f"this {type(network).__name__} is conditional: it needs labels, one of {network.num_labels}.")
    return label


def _count(images: tf.Tensor) -> tf.Tensor | int:
    return images.shape[0] if images.shape[0] is not None else tf.shape(images)[0]
