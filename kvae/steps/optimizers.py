"""Adam as one operation per variable."""

from typing import Any

import keras
import tensorflow as tf

from kvae.errors import KvaeError
from kvae.steps.keras_private import adam_slots


@keras.saving.register_keras_serializable("kvae")
class FusedAdam(keras.optimizers.Adam):
    """Keras's Adam, updating each variable in one pass over memory with TensorFlow's fused operation.

    Arguments, state and update rule are those of `keras.optimizers.Adam`, whose update is a dozen operations, each of
    them a pass over the variable and its moments. If XLA compiles the step, it fuses them anyway. `amsgrad`, which
    the fused operation does not support, is left to Keras.

    Reference: Kingma & Ba, Adam, arXiv 1412.6980 (with the order of operations given before its section 2.1).
    """

    _wanted: tf.Tensor | None = None
    """In `apply_if`: whether to make the update."""

    def update_step(self, gradient: tf.Tensor, variable: Any, learning_rate: Any) -> None:
        if self.amsgrad:
            super().update_step(gradient, variable, learning_rate)
            return
        momentum, velocity = adam_slots(self, variable)
        step = tf.cast(self.iterations + 1, variable.dtype)
        beta_1, beta_2 = (tf.constant(beta, variable.dtype) for beta in (self.beta_1, self.beta_2))
        powers = beta_1**step, beta_2**step
        rate = tf.cast(learning_rate, variable.dtype)
        if self._wanted is not None:  # if not wanted: keep the moments, and make a step of length 0
            beta_1, beta_2 = (tf.where(self._wanted, beta, tf.ones_like(beta)) for beta in (beta_1, beta_2))
            rate = tf.where(self._wanted, rate, tf.zeros_like(rate))
            gradient = tf.where(self._wanted, gradient, tf.zeros_like(gradient))
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=momentum.handle,
            v=velocity.handle,
            beta1_power=powers[0],
            beta2_power=powers[1],
            lr=rate,
            beta1=beta_1,
            beta2=beta_2,
            epsilon=tf.constant(self.epsilon, variable.dtype),
            grad=gradient,
        )

    @property
    def keras_only(self) -> list[str]:
        """The settings in use that Keras applies outside `update_step`, or instead of it."""
        names = (
            "amsgrad", "weight_decay", "clipnorm", "clipvalue", "global_clipnorm", "use_ema",
            "gradient_accumulation_steps",
        )  # fmt: skip
        return [name for name in names if getattr(self, name)]

    def apply_if(self, wanted: tf.Tensor, gradients: list[tf.Tensor], variables: list[Any]) -> None:
        """Apply gradients, or leave weights, moments and schedule exactly as they are.

        Unlike a condition around `apply`, this does not make XLA copy the variables, a tenth of a dense network's step.

        Args:
            wanted: whether to apply them, a boolean scalar.
            gradients: one for each of `variables`, or None; if they are not wanted, they may have any value, even NaN.
            variables: those that the optimizer was built for.

        Raises:
            KvaeError: the optimizer has settings that only Keras can apply.
        """
        self._refuse_keras_only("apply_if of")
        self._wanted = wanted
        try:
            self.apply(gradients, variables)
        finally:
            self._wanted = None
        self.iterations.assign_sub(tf.cast(~wanted, self.iterations.dtype))

    def _refuse_keras_only(self, where: str) -> None:
        if given := self.keras_only:
            raise KvaeError(f"{where} FusedAdam does not support {given[0]}; got {getattr(self, given[0])!r}.")

    def apply_summed(self, gradients: list[tf.Tensor], variables: list[Any]) -> None:
        """Apply gradients that are already summed over all replicas to this replica's copies of the variables.

        Keras's `apply` sums them itself, and cannot be used in a condition or a loop of a replica's step. The copies
        stay equal because all replicas apply the same gradients.

        Args:
            gradients: one for each of `variables`.
            variables: those that the optimizer was built for.

        Raises:
            KvaeError: the optimizer has settings that only Keras can apply.
        """
        self._refuse_keras_only("under tf.distribute")
        learning_rate = self.learning_rate
        for gradient, variable in zip(gradients, variables, strict=True):
            self.update_step(gradient, variable, learning_rate)
        tf.raw_ops.AssignAddVariableOp(resource=self.iterations.handle, value=tf.ones([], self.iterations.dtype))
