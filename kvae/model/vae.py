"""The variational autoencoder: where the ELBO is."""

from typing import Any, NamedTuple

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from kvae.errors import KvaeError
from kvae.model import priors
from kvae.steps import optimizers, replicas
from kvae.steps.batches import Part, Steps

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
    added to it). Labels, where `fit` gets any, are left aside. `fit` takes `kvae.steps.batches.steps(...)` too, with
    `steps_per_epoch`: then one call makes many optimiser steps, in one loop, with the same losses.

    Args:
        encoder: subclass of `keras.Model`, images `(batch, height, width, channels)` in [0, 1] -> TFP distribution
            with event `(latent_dim,)`. (Keras's Sequential and functional models return tensors alone.)
        decoder: subclass of `keras.Model`, z `(batch, latent_dim)` -> TFP distribution with event
            `(height, width, channels)`.
        prior: TFP distribution with event `(latent_dim,)`, for example
            `kvae.model.priors.standard_normal(latent_dim)`. It is fixed: variables in it are not trained.
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
        self.jit_replicas = False
        """Whether XLA compiles a replica's gradients; under `tf.distribute` it cannot compile the exchange of them."""
        self.num_parts = 1
        """Parts of a batch whose terms are computed side by side; see `kvae.training.fitting.build`."""
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

    def terms(
        self,
        images: tf.Tensor,
        seed: tf.Tensor | None = None,
        training: bool = False,
        rows: replicas.Rows | None = None,
    ) -> Terms:
        """Distortion, rate and regulariser of each image.

        Args:
            images: `(batch, height, width, channels)`, floats in [0, 1].
            seed: int32 `(2,)` for a draw that depends on nothing else; by default the model's own generator moves on.
            training: what layers such as Dropout are told.
            rows: where these images stand in a larger batch, if they do: an image's draw depends on the seed and on
                its place in that batch, whoever holds the others. (Of a posterior that is no MultivariateNormalDiag
                the draw depends on who holds them too.)

        Raises:
            KvaeError: images of integers, or a network whose distribution does not cover all axes but the batch.
        """
        if seed is None:
            seed = self._next_seed()
        images = _as_floats(images)
        if not self.built:  # Keras builds a model when it is called, and training calls the networks instead
            self.build(images.shape)
        if rows is None:
            rows = replicas.Rows(0, _num(images))
        if self.num_parts == 1:
            return self._terms(images, seed, training, rows)
        size = -(-_num(images) // self.num_parts)
        terms = [
            self._terms(images[part * size : (part + 1) * size], seed, training, rows.skip(part * size))
            for part in range(self.num_parts)
        ]
        return Terms(*(tf.concat(values, axis=0) for values in zip(*terms, strict=True)))

    def _terms(self, images: tf.Tensor, seed: tf.Tensor, training: bool, rows: replicas.Rows) -> Terms:
        posterior = self.encoder(images, training=training)  # q(z|x), event (latent_dim,)
        z = self._draw(posterior, seed, rows, _num(images))  # (batch, latent_dim)
        likelihood = self.decoder(z, training=training)  # p(x|z), event (height, width, channels)
        _check_event("encoder", posterior, self.prior.event_shape)
        _check_event("decoder", likelihood, images.shape[1:])
        rate = tfd.kl_divergence(posterior, self.prior)
        return Terms(
            distortion=-likelihood.log_prob(images),
            rate=rate,
            regularizer=self._regularizer(posterior, rate),
        )

    def _draw(self, posterior: Any, seed: tf.Tensor, rows: replicas.Rows, num_images: tf.Tensor | int) -> tf.Tensor:
        if not isinstance(posterior, tfd.MultivariateNormalDiag):
            return posterior.sample(seed=tf.random.experimental.stateless_fold_in(seed, rows.first))
        # TensorFlow's default generator, Philox, becomes code for a CPU that takes a fifth of the dense network's
        # step where XLA compiles it; ThreeFry, which XLA alone has, takes next to nothing.
        generator = "threefry" if self._in_xla else "philox"
        shape = [rows.total, self.latent_dim]
        noise = tf.random.stateless_normal(shape, seed, dtype=posterior.dtype, alg=generator)
        return posterior.bijector.forward(rows.of(noise, num_images))

    @property
    def _in_xla(self) -> bool:
        """Whether this is traced for a step that XLA compiles."""
        return self._compiling and (bool(self.jit_compile) or self.jit_replicas) and not tf.executing_eagerly()

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
            return self._updated_means(means, applied * replicas.count() * tf.shape(images, tf.int64)[0])

        def make_step(step: tf.Tensor, sums: tf.Tensor, count: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            means, applied = self._step(self._images(data.batch(step)))
            return step + 1, sums + means, count + applied

        begin = (tf.zeros([], tf.int64), tf.zeros([len(self._means)]), tf.zeros([], tf.int64))
        _, sums, count = tf.while_loop(lambda step, sums, count: step < data.count, make_step, begin)
        means = tf.math.divide_no_nan(sums, tf.cast(count, tf.float32))
        return self._updated_means(means, count * data.pixels.shape[1])

    def test_step(self, data: Any) -> dict[str, Any]:
        if isinstance(data, Part):
            images, rows = self._images(data.images), replicas.Rows(data.first, data.total)
        else:
            images = self._images(data)
            rows = replicas.rows(_num(images))
        means = self._on_replica(self._test_means)(images, self._next_seed(), rows)
        num_images = tf.shape(images)[0]
        return self._updated_means(*replicas.mean(means, num_images))

    def _test_means(self, images: tf.Tensor, seed: tf.Tensor, rows: replicas.Rows) -> tf.Tensor:
        terms = self._terms_in_step(images, seed, False, rows)
        return _means(self.loss_of(terms) + self._penalty(), terms)

    def _terms_in_step(
        self, images: tf.Tensor, seed: tf.Tensor, training: bool, rows: replicas.Rows | None = None
    ) -> Terms:
        self._compiling = True
        try:
            return self.terms(images, seed, training, rows)
        finally:
            self._compiling = False

    def _on_replica(self, function: Any) -> Any:
        return tf.function(function, jit_compile=True) if self.jit_replicas else function

    def _next_seed(self) -> tf.Tensor:
        return tf.cast(self.seed_generator.next(), tf.int32)

    def _gradients(self, images: tf.Tensor, seed: tf.Tensor, rows: replicas.Rows) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """This replica's share in what `_means` returns, and in the gradients of the loss."""
        with tf.GradientTape() as tape:
            terms = self._terms_in_step(images, seed, True, rows)
            loss = self.loss_of(terms, self._warmed_up_beta()) + self._penalty()
            scaled_loss = self.optimizer.scale_loss(loss) / replicas.count()
        none = tf.UnconnectedGradients.NONE if replicas.count() == 1 else tf.UnconnectedGradients.ZERO
        gradients = tape.gradient(scaled_loss, self.trainable_variables, unconnected_gradients=none)
        return _means(loss, terms) / replicas.count(), gradients

    def _step(self, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """One update of the weights, unless the loss or a gradient is not finite.

        Returns:
            What `_means` does, and 1; zeros, and 0, where the step was skipped.
        """
        if not self.built:
            self.build(images.shape)
        seed = self._next_seed()
        rows = replicas.rows(_num(images))
        statistics = [tf.identity(value) for value in self.non_trainable_weights]  # of a batch normalisation, say
        # Once they are summed, all replicas hold the same bits, and come to the same decision.
        means, gradients = replicas.summed(self._on_replica(self._gradients)(images, seed, rows))
        values = [means[0]]
        if not isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer):  # which meets infinities by design
            values += [gradient for gradient in gradients if gradient is not None]
        finite = tf.reduce_all([_is_finite(value) for value in values])
        self._apply_if(finite, gradients)
        for variable, before in zip(self.non_trainable_weights, statistics, strict=True):
            variable.assign(tf.where(finite, variable.value, before))
        self._record(seed, tf.cast(~finite, tf.int64))
        return tf.where(finite, means, tf.zeros_like(means)), tf.cast(finite, tf.int64)

    def _apply_if(self, finite: tf.Tensor, gradients: list[tf.Tensor]) -> None:
        optimizer, variables = self.optimizer, self.trainable_variables
        if replicas.count() > 1:
            tf.cond(finite, lambda: optimizer.apply_summed(gradients, variables), lambda: None)
        elif self.jit_compile and isinstance(optimizer, optimizers.FusedAdam) and not optimizer.keras_only:
            optimizer.apply_if(finite, gradients, variables)
        else:
            tf.cond(finite, lambda: optimizer.apply(gradients, variables), lambda: None)

    def _record(self, seed: tf.Tensor, skipped: tf.Tensor) -> None:
        """Count a step, and write it down: where it was not `skipped` (1, or else 0) the next one's row is its own."""
        row = tf.concat([self.made_steps[None], tf.cast(seed, tf.int64)], axis=0)
        table = tf.tensor_scatter_nd_update(self._skipped_seeds, [[self.skipped_steps % MAX_RECORDED]], row[None])
        self._skipped_seeds.assign(table)
        self.skipped_steps.assign_add(skipped)
        self.made_steps.assign_add(1)

    def skipped_since(self, count: int) -> list[tuple[int, list[int]]]:
        """The number and the seed of each step that was skipped after the first `count` ones.

        The step is repeated by `terms(images, seed)` on its images; only the last `MAX_RECORDED` are known.
        """
        last = int(self.skipped_steps.numpy())
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
        return replicas.logs({metric.name: metric.result() for metric in self.metrics})

    def _maybe_symbolic_build(self, iterator: Any = None, data_batch: Any = None) -> None:
        # By this Keras builds a model under tf.distribute from the mean of the first batch over all replicas, which of
        # the elements of `kvae.steps.batches` it cannot take.
        if self._distribute_strategy is None:
            return
        if not self.built:
            raise KvaeError("under tf.distribute a VAE is built before it is fitted: vae.build((None, *image_shape)).")
        if self.optimizer is None:
            return
        replicated = self.distribute_strategy.num_replicas_in_sync > 1
        if replicated and not isinstance(self.optimizer, optimizers.FusedAdam):
            raise KvaeError(
                f"under tf.distribute a VAE takes kvae.steps.optimizers.FusedAdam; got {type(self.optimizer).__name__}."
            )
        with self.distribute_strategy.scope():
            if not self.optimizer.built:
                self.optimizer.build(self.trainable_variables)

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


class _Mean(keras.metrics.Metric):
    """A weighted mean that is NaN, not 0, as long as nothing went into it: where all steps were skipped.

    It is given the means of a whole batch on every replica, which keep a copy each, and so agree at any time. Keras's
    own metrics are summed over replicas where they are read, and would wait for all processes to read them.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name=name)
        self.total, self.count = (
            keras.Variable(0.0, trainable=False, aggregation="none", name=name) for name in ("total", "count")
        )

    def update_state(self, value: tf.Tensor, sample_weight: tf.Tensor) -> None:
        weight = tf.cast(sample_weight, tf.float32)
        self.total.assign(self.total + value * weight)
        self.count.assign(self.count + weight)

    def result(self) -> tf.Tensor:
        return self.total / self.count


def _is_finite(values: tf.Tensor) -> tf.Tensor:
    """Whether all values, and their sums over the first axis, are finite."""
    # XLA sums over one axis in a fifth of the time that it takes to ask each value and to bring the answers together.
    sums = tf.reduce_sum(values, axis=0) if values.shape.rank else values
    return tf.reduce_all(tf.math.is_finite(sums))


def _counter(shape: tuple[int, ...] | list[int] = ()) -> tf.Variable:
    return tf.Variable(tf.zeros(shape, tf.int64), trainable=False, aggregation=tf.VariableAggregation.NONE)


def _means(loss: tf.Tensor, terms: Terms) -> tf.Tensor:
    """A batch's loss, and its means of ELBO, distortion and rate: `(4,)`, as `VAE.metrics` has them."""
    elbo, rate = tf.reduce_mean(terms.elbo), tf.reduce_mean(terms.rate)
    # Not the mean of the distortion: XLA would sum the pixels of all images for it once more, in one thread.
    return tf.stack([loss, elbo, -elbo - rate, rate])


def _num(images: tf.Tensor) -> tf.Tensor | int:
    """The number of images, as an integer where it is known when the step is traced."""
    return images.shape[0] if images.shape[0] is not None else tf.shape(images)[0]


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
