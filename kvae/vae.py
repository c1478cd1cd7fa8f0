"""The variational autoencoder: where the ELBO is."""

from typing import Any, NamedTuple

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from kvae import divergences as divergences  # registers KLs with TFP
from kvae import networks as networks  # registers Encoder and Decoder with Keras, for load_model
from kvae import optimizers as optimizers  # registers FusedAdam
from kvae import priors
from kvae.batches import Steps
from kvae.errors import KvaeError

tfd = tfp.distributions

MAX_RECORDED = 128
"""Skipped steps whose number and seed a VAE keeps until they are read: more than one call of `fit` makes."""


class Terms(NamedTuple):
    """What the loss and the ELBO are made of, for each image of a batch: each `(batch,)`, in nats."""

    distortion: tf.Tensor
    """-log p(x|z) at one reparameterised draw z of the posterior: an unbiased estimate of -E_q log p(x|z)."""
    rate: tf.Tensor
    """KL(q(z|x) || p(z))."""
    regularizer: tf.Tensor
    """H(q, p) - entropy_weight H(q): the rate itself where the weight is 1."""

    @property
    def elbo(self) -> tf.Tensor:
        """Evidence lower bound log p(x) >= -distortion - rate, `(batch,)`, in nats, whatever the loss weighs."""
        return -self.distortion - self.rate


@keras.saving.register_keras_serializable("kvae")
class VAE(keras.Model):
    """A variational autoencoder composed of an encoder, a decoder and a prior.

    It is an ordinary Keras model: `compile(optimizer)`, `fit(images)`, `evaluate`, `predict` (mean reconstructions),
    callbacks and `.keras` files work as usual; the loss is its own, so `compile` takes none (regularisers of layers are
    added to it). Labels, where `fit` gets any, are left aside. `fit` takes `kvae.batches.steps(...)` too, with
    `steps_per_epoch`: then one call makes many optimiser steps, in one loop, with the same losses.

    Args:
        encoder: subclass of `keras.Model`, images `(batch, height, width, channels)` in [0, 1] -> TFP distribution
            with event `(latent_dim,)`. (Keras's Sequential and functional models return tensors alone.)
        decoder: subclass of `keras.Model`, z `(batch, latent_dim)` -> TFP distribution with event
            `(height, width, channels)`.
        prior: TFP distribution with event `(latent_dim,)`, for example `kvae.priors.standard_normal(latent_dim)`. It
            is fixed: variables in it are not trained.
        beta: weight of the regulariser in the loss. 1 by default.
        entropy_weight: the lambda of the regulariser H(q, p) - lambda H(q), in which H(q, p) is the cross-entropy of
            the posterior and the prior, H(q) the posterior's entropy. At 1, the default, it is the KL, and the loss the
            negative ELBO where beta is 1 too; at 0 it is the cross-entropy. At anything but 1 the loss is no bound on
            the likelihood, and the encoder's `entropy()` must be defined.
        kl_warmup_steps: optimiser steps over which the weight grows from 0 to `beta`, linearly; 0, the default, for
            none. Only training is warmed up: `evaluate` has the full weight at any time.
        seed: seed of the posterior's draws.

    References:
        Kingma & Welling, arXiv 1312.6114 (the ELBO and its reparameterised gradient); Higgins et al., beta-VAE,
        ICLR 2017 (beta); Bowman et al., arXiv 1511.06349 (warm-up).
    """

    def __init__(
        self,
        encoder: keras.Model,
        decoder: keras.Model,
        prior: Any,
        *,
        beta: float = 1.0,
        entropy_weight: float = 1.0,
        kl_warmup_steps: int = 0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        if prior.event_shape.rank != 1 or prior.batch_shape.rank != 0:
            raise KvaeError(
                f"the prior must have event (latent_dim,) and no batch; got event {tuple(prior.event_shape)} and batch "
                f"{tuple(prior.batch_shape)}. Wrap it in tfd.Independent."
            )
        super().__init__(**kwargs)
        self.encoder = encoder
        self.decoder = decoder
        self.prior = prior
        self.beta = beta
        self.entropy_weight = entropy_weight
        self.kl_warmup_steps = kl_warmup_steps
        self.seed = seed
        self._compiling = False
        self.num_parts = 1
        """Parts of a batch whose terms are computed side by side; see `kvae.training.build`."""
        self.seed_generator = keras.random.SeedGenerator(seed)
        self._means = {name: _Mean(name=name) for name in ("loss", "elbo", "distortion", "rate")}
        self.made_steps = _counter()
        """Training steps made, skipped ones included: the number of the next step."""
        self.skipped_steps = _counter()
        """Those of them that were not applied, since the loss or a gradient was not finite."""
        self._skipped_seeds = _counter([MAX_RECORDED, 3])

    @property
    def latent_dim(self) -> int:
        """Number of latent dimensions."""
        return int(self.prior.event_shape[0])

    def terms(self, images: tf.Tensor, seed: tf.Tensor | None = None, training: bool = False) -> Terms:
        """Distortion, rate and regulariser of each image.

        Args:
            images: `(batch, height, width, channels)`, floats in [0, 1].
            seed: int32 `(2,)` for a draw that depends on nothing else; by default the model's own generator moves on.
            training: what layers such as Dropout are told.

        Raises:
            KvaeError: images of integers, or a network whose distribution does not cover all axes but the batch.
        """
        if seed is None:
            seed = self._next_seed()
        images = _as_floats(images)
        if not self.built:  # Keras builds a model when it is called, and training calls the networks instead
            self.build(images.shape)
        if self.num_parts == 1:
            return self._terms(images, seed, training)
        size = -(-tf.shape(images)[0] // self.num_parts)
        parts = [images[part * size : (part + 1) * size] for part in range(self.num_parts)]
        seeds = tfp.random.split_seed(seed, self.num_parts)
        terms = [self._terms(images, seed, training) for images, seed in zip(parts, seeds, strict=True)]
        return Terms(*(tf.concat(values, axis=0) for values in zip(*terms, strict=True)))

    def _terms(self, images: tf.Tensor, seed: tf.Tensor, training: bool) -> Terms:
        posterior = self.encoder(images, training=training)  # q(z|x), event (latent_dim,)
        z = self._draw(posterior, seed)  # (batch, latent_dim)
        likelihood = self.decoder(z, training=training)  # p(x|z), event (height, width, channels)
        _check_event("encoder", posterior, self.prior.event_shape)
        _check_event("decoder", likelihood, images.shape[1:])
        rate = tfd.kl_divergence(posterior, self.prior)
        return Terms(
            distortion=-likelihood.log_prob(images),
            rate=rate,
            regularizer=self._regularizer(posterior, rate),
        )

    def _draw(self, posterior: Any, seed: tf.Tensor) -> tf.Tensor:
        if self._in_xla and isinstance(posterior, tfd.MultivariateNormalDiag):
            # TensorFlow's default generator, Philox, becomes code for a CPU that takes a fifth of the dense network's
            # step; ThreeFry, which XLA alone has, takes next to nothing.
            shape = tf.concat([posterior.batch_shape_tensor(), posterior.event_shape_tensor()], axis=0)
            return posterior.bijector.forward(
                tf.random.stateless_normal(shape, seed, dtype=posterior.dtype, alg="threefry")
            )
        return posterior.sample(seed=seed)

    @property
    def _in_xla(self) -> bool:
        """Whether this is traced for a step that XLA compiles."""
        return self._compiling and bool(self.jit_compile) and not tf.executing_eagerly()

    def _regularizer(self, posterior: Any, rate: tf.Tensor) -> tf.Tensor:
        if self.entropy_weight == 1.0:
            return rate  # KL(q || p) = H(q, p) - H(q)
        return rate + (1.0 - self.entropy_weight) * posterior.entropy()

    def elbo(self, images: tf.Tensor, seed: tf.Tensor | None = None) -> tf.Tensor:
        """Evidence lower bound of each image, `(batch,)`, in nats; arguments as for `terms`."""
        return self.terms(images, seed).elbo

    def loss_of(self, terms: Terms, beta: tf.Tensor | float | None = None) -> tf.Tensor:
        """The scalar the optimiser sees: batch mean of distortion + beta * regularizer, in nats per image."""
        weight = self.beta if beta is None else beta
        return tf.reduce_mean(terms.distortion + weight * terms.regularizer)

    def call(self, images: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Mean reconstruction, `(batch, height, width, channels)` in [0, 1], decoded from the posterior's mean."""
        return self.decoder(self.encoder(images, training=training).mean(), training=training).mean()

    def train_step(self, data: Any) -> dict[str, Any]:
        if not isinstance(data, Steps):
            images = self._images(data)
            means, applied = self._step(images)
            return self._updated_means(means, applied * tf.shape(images, tf.int64)[0])

        def make_step(step: tf.Tensor, sums: tf.Tensor, count: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            means, applied = self._step(self._images(data.batch(step)))
            return step + 1, sums + means, count + applied

        begin = (tf.zeros([], tf.int64), tf.zeros([len(self._means)]), tf.zeros([], tf.int64))
        _, sums, count = tf.while_loop(lambda step, sums, count: step < data.count, make_step, begin)
        means = tf.math.divide_no_nan(sums, tf.cast(count, tf.float32))
        return self._updated_means(means, count * data.pixels.shape[1])

    def test_step(self, data: Any) -> dict[str, Any]:
        images = self._images(data)
        terms = self._terms_in_step(images, self._next_seed(), training=False)
        return self._updated_means(_means(self.loss_of(terms) + self._penalty(), terms), tf.shape(images)[0])

    def _terms_in_step(self, images: tf.Tensor, seed: tf.Tensor, training: bool) -> Terms:
        self._compiling = True
        try:
            return self.terms(images, seed, training=training)
        finally:
            self._compiling = False

    def _next_seed(self) -> tf.Tensor:
        return tf.cast(self.seed_generator.next(), tf.int32)

    def _step(self, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """One update of the weights, unless the loss or a gradient is not finite.

        Returns:
            What `_means` does, and 1; zeros, and 0, where the step was skipped.
        """
        seed = self._next_seed()
        with tf.GradientTape() as tape:
            terms = self._terms_in_step(images, seed, training=True)
            loss = self.loss_of(terms, self._warmed_up_beta()) + self._penalty()
            scaled_loss = self.optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled_loss, self.trainable_variables)
        values = [loss]
        if not isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer):  # which meets infinities by design
            values += [gradient for gradient in gradients if gradient is not None]
        finite = tf.reduce_all([tf.reduce_all(tf.math.is_finite(value)) for value in values])
        tf.cond(
            finite,
            lambda: self.optimizer.apply(gradients, self.trainable_variables),
            lambda: self._record_skipped(seed),
        )
        self.made_steps.assign_add(1)
        means = _means(loss, terms)
        return tf.where(finite, means, tf.zeros_like(means)), tf.cast(finite, tf.int64)

    def _record_skipped(self, seed: tf.Tensor) -> None:
        row = tf.concat([self.made_steps[None], tf.cast(seed, tf.int64)], axis=0)
        self._skipped_seeds.scatter_nd_update([[self.skipped_steps % MAX_RECORDED]], row[None])
        self.skipped_steps.assign_add(1)

    def skipped_since(self, count: int) -> list[tuple[int, list[int]]]:
        """The number and the seed of each step that was skipped after the first `count` ones.

        The step is repeated by `terms(images, seed)` on its images; only the last `MAX_RECORDED` are known.
        """
        last = int(self.skipped_steps)
        rows = self._skipped_seeds.numpy()
        known = (rows[index % MAX_RECORDED] for index in range(max(count, last - MAX_RECORDED), last))
        return [(int(row[0]), [int(word) for word in row[1:]]) for row in known]

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        return list(self._means.values())

    def _images(self, data: Any) -> tf.Tensor:
        # What would be left aside in silence is refused.
        if self.loss is not None or self._compile_metrics is not None:
            raise KvaeError("VAE has its own loss and metrics: compile it with an optimizer alone.")
        images, _, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        if sample_weight is not None:
            raise KvaeError("VAE weighs every image alike: fit and evaluate take no sample_weight.")
        return images

    def _penalty(self) -> tf.Tensor | float:
        return tf.add_n(self.losses) if self.losses else 0.0  # regularisers of layers

    def _warmed_up_beta(self) -> tf.Tensor | float:
        if not self.kl_warmup_steps:
            return self.beta
        progress = tf.cast(self.optimizer.iterations, tf.float32) / self.kl_warmup_steps
        return self.beta * tf.minimum(1.0, progress)

    def _updated_means(self, means: tf.Tensor, num_images: tf.Tensor) -> dict[str, Any]:
        """The metrics, once the means of `num_images` more images are in them."""
        for metric, mean in zip(self.metrics, tf.unstack(means), strict=True):
            metric.update_state(mean, sample_weight=num_images)
        return {metric.name: metric.result() for metric in self.metrics}

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        for network, shape in ((self.encoder, input_shape), (self.decoder, (None, self.latent_dim))):
            if not network.built:
                # An eager call, not network.build(shape): a network that defines no `build` is traced symbolically by
                # Keras, and a symbolic trace cannot return a TFP distribution.
                with tf.init_scope():
                    network(tf.zeros([1, *shape[1:]]))
        self.image_shape: tuple[int, ...] = tuple(size for size in input_shape[1:] if size is not None)
        self.built = True

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "encoder": keras.saving.serialize_keras_object(self.encoder),
            "decoder": keras.saving.serialize_keras_object(self.decoder),
            "prior": priors.serialize(self.prior),
            "beta": self.beta,
            "entropy_weight": self.entropy_weight,
            "kl_warmup_steps": self.kl_warmup_steps,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "VAE":
        parts = {name: keras.saving.deserialize_keras_object(config[name]) for name in ("encoder", "decoder")}
        return cls(**(config | parts | {"prior": priors.deserialize(config["prior"])}))

    def save_own_variables(self, store: dict[str, Any]) -> None:
        # Keras leaves the state of a seed generator out: a model that goes on from a checkpoint would repeat its noise.
        store["seed_generator"] = self.seed_generator.state.numpy()
        store["made_steps"] = self.made_steps.numpy()

    def load_own_variables(self, store: dict[str, Any]) -> None:
        self.seed_generator.state.assign(store["seed_generator"])
        if "made_steps" in store:  # not in models of kvae 0.1
            self.made_steps.assign(store["made_steps"])


class _Mean(keras.metrics.Mean):
    """A mean that is NaN, not 0, as long as nothing went into it: where all steps were skipped."""

    def result(self) -> tf.Tensor:
        return self.total / self.count


def _counter(shape: tuple[int, ...] | list[int] = ()) -> tf.Variable:
    return tf.Variable(
        tf.zeros(shape, tf.int64), trainable=False, aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA
    )


def _means(loss: tf.Tensor, terms: Terms) -> tf.Tensor:
    """A batch's loss, and its means of ELBO, distortion and rate: `(4,)`, as `VAE.metrics` has them."""
    elbo, rate = tf.reduce_mean(terms.elbo), tf.reduce_mean(terms.rate)
    # Not the mean of the distortion: XLA would sum the pixels of all images for it once more, in one thread.
    return tf.stack([loss, elbo, -elbo - rate, rate])


def _as_floats(images: Any) -> tf.Tensor:
    # A tensor, also where a user's numpy array comes in: TFP would cast an array to the likelihood's own dtype, which
    # for its Bernoulli is an integer.
    images = tf.convert_to_tensor(images)
    if not images.dtype.is_floating:
        raise KvaeError(f"images must be floats in [0, 1]; got {images.dtype.name}. Divide bytes by 255.")
    if images.shape.rank != 4:
        raise KvaeError(f"images must have shape (batch, height, width, channels); got {tuple(images.shape)}.")
    return tf.cast(images, tf.float32)


def _check_event(network: str, distribution: Any, expected: Any) -> None:
    # With an axis of the image in the batch, terms would broadcast, and the loss be a mean over pixels.
    if not distribution.event_shape.is_compatible_with(expected) or distribution.batch_shape.rank not in (None, 1):
        raise KvaeError(
            f"the {network} must return a distribution with event {tuple(expected)} and batch (batch,), by "
            f"tfd.Independent; got event {tuple(distribution.event_shape)} and batch {tuple(distribution.batch_shape)}."
        )
