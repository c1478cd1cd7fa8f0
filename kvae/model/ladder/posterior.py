"""A posterior of several groups of latent dimensions, each of which depends on the draws of those before it."""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp

from kvae.model.ladder import memo

tfd = tfp.distributions

Choose = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
"""Given loc and scale of the next group's posterior, `(draws * batch, size)`, its codes, of the same shape."""
Descend = Callable[[Choose, Any], memo.Memory | None]
"""A top-down pass for a number of draws: it calls the `Choose` once for each group, in order."""


class HierarchicalPosterior(tfd.Distribution):  # type: ignore[name-defined]  # tfp has no types
    """q(z|x) = product over groups of q(z_l | z_<l, x), each a diagonal Gaussian.

    It fulfils `kvae.model.posteriors.Hierarchical`, so that a VAE's encoder may return it.

    Args:
        descend: the top-down pass, `descend(choose, draws)`. For each group in order it computes the posterior's loc
            and scale from the codes chosen so far, and calls `choose(loc, scale)` for the group's codes. All tensors
            have `draws * batch` rows: the images of the first draw, then those of the second. It may return a
            `kvae.model.ladder.memo.Memory` for the decoder of these codes.
        groups: the size of each group.
        num_images: the batch.

    Its event is `(latent_dim,)`, the groups side by side. It has no closed-form mean: `mean()` is the code of noise 0.
    """

    def __init__(
        self, descend: Descend, groups: Sequence[int], num_images: tf.Tensor | int, name: str = "HierarchicalPosterior"
    ) -> None:
        parameters = {"descend": descend, "groups": groups, "num_images": num_images, "name": name}
        self._descend = descend
        self._groups = list(groups)
        self._num_images = num_images
        super().__init__(
            dtype=tf.float32,
            reparameterization_type=tfd.FULLY_REPARAMETERIZED,
            validate_args=False,
            allow_nan_stats=True,
            parameters=parameters,
            name=name,
        )

    def at(self, noise: tf.Tensor) -> tuple[tf.Tensor, Any]:
        """The codes that standard normal noise leads to, and the posterior at them.

        Args:
            noise: `(draws, batch, latent_dim)`.

        Returns:
            The codes loc + scale * noise, `(draws * batch, latent_dim)`, and the `tfd.MultivariateNormalDiag` with
            batch `(draws, batch)` whose parameters are those of each group given the codes of the groups before it.
        """
        parts = self._split(noise)
        return self._pass(lambda loc, scale: loc + scale * next(parts), noise)

    def _split(self, values: tf.Tensor) -> Any:
        rows = tf.reshape(values, [-1, sum(self._groups)])
        return iter(tf.split(rows, self._groups, axis=-1) if len(self._groups) > 1 else [rows])

    def _pass(self, choose: Choose, like: tf.Tensor) -> tuple[tf.Tensor, Any]:
        """The codes that are chosen, and the posterior at them; `like` is `(draws, batch, latent_dim)`."""
        found: list[tuple[tf.Tensor, tf.Tensor, tf.Tensor]] = []

        def recorded(loc: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
            found.append((loc, scale, choose(loc, scale)))
            return found[-1][-1]

        draws = like.shape[0] if like.shape[0] is not None else tf.shape(like)[0]
        memory = self._descend(recorded, draws)
        loc, scale, codes = (tf.concat(parts, axis=-1) for parts in zip(*found, strict=True))
        if memory is not None:
            memo.remember(codes, memory)
        shape = tf.shape(like)
        at_them = tfd.MultivariateNormalDiag(loc=tf.reshape(loc, shape), scale_diag=tf.reshape(scale, shape))
        return codes, at_them

    def _sample_n(self, n: Any, seed: Any = None) -> tf.Tensor:
        shape = tf.stack([n, self._num_images, sum(self._groups)])
        noise = tf.random.stateless_normal(shape, tfp.random.sanitize_seed(seed))
        return tf.reshape(self.at(noise)[0], shape)

    def _log_prob(self, value: tf.Tensor) -> tf.Tensor:
        shape = tf.broadcast_dynamic_shape(tf.shape(value), [self._num_images, sum(self._groups)])
        z = tf.reshape(tf.broadcast_to(value, shape), [-1, self._num_images, sum(self._groups)])
        parts = self._split(z)
        _, at_them = self._pass(lambda loc, scale: next(parts), z)
        return tf.reshape(at_them.log_prob(z), shape[:-1])

    def _mean(self) -> tf.Tensor:
        return self.at(tf.zeros([1, self._num_images, sum(self._groups)]))[0]

    def _event_shape(self) -> tf.TensorShape:
        return tf.TensorShape([sum(self._groups)])

    def _event_shape_tensor(self) -> tf.Tensor:
        return tf.constant([sum(self._groups)], tf.int32)

    def _batch_shape(self) -> tf.TensorShape:
        return tf.TensorShape([self._num_images if isinstance(self._num_images, int) else None])

    def _batch_shape_tensor(self, **_: Any) -> tf.Tensor:
        return tf.reshape(tf.convert_to_tensor(self._num_images, tf.int32), [1])

    @classmethod
    def _parameter_properties(cls, dtype: Any, num_classes: Any = None) -> dict[str, Any]:
        return {}
