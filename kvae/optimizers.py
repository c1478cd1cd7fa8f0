"""Adam as one operation per variable."""

from typing import Any

import keras
import tensorflow as tf

from kvae.errors import KvaeError


@keras.saving.register_keras_serializable("kvae")
class FusedAdam(keras.optimizers.Adam):
    """Keras's Adam, with each variable's update in one pass over memory, by TensorFlow's own fused operation.

    Arguments, state and update rule are those of `keras.optimizers.Adam`, whose update is a dozen operations, each of
    them a pass over the variable and its moments. Where XLA compiles the step, it fuses them anyway. `amsgrad`, which
    the operation lacks, is left to Keras.

    Reference: Kingma & Ba, Adam, arXiv 1412.6980 (in the order of operations given before its section 2.1).
    """

    def update_step(self, gradient: tf.Tensor, variable: Any, learning_rate: Any) -> None:
        if self.amsgrad:
            super().update_step(gradient, variable, learning_rate)
            return
        index = self._get_variable_index(variable)
        step = tf.cast(self.iterations + 1, variable.dtype)
        beta_1, beta_2 = (tf.constant(beta, variable.dtype) for beta in (self.beta_1, self.beta_2))
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=beta_1**step,
            beta2_power=beta_2**step,
            lr=tf.cast(learning_rate, variable.dtype),
            beta1=beta_1,
            beta2=beta_2,
            epsilon=tf.constant(self.epsilon, variable.dtype),
            grad=gradient,
        )

    def apply_summed(self, gradients: list[tf.Tensor], variables: list[Any]) -> None:
        """Apply gradients that are summed over all replicas already, to this replica's copies of the variables.

        Keras's `apply` sums them itself, and cannot stand in a condition or a loop of a replica's step. Where all
        replicas apply the same gradients, the copies stay equal.

        Args:
            gradients: one for each of `variables`.
            variables: those that the optimizer was built for.

        Raises:
            KvaeError: settings that are Keras's own to apply.
        """
        keras_only = (
            "amsgrad", "weight_decay", "clipnorm", "clipvalue", "global_clipnorm", "use_ema",
            "gradient_accumulation_steps",
        )  # fmt: skip
        if given := [name for name in keras_only if getattr(self, name)]:
            raise KvaeError(f"under tf.distribute FusedAdam takes no {given[0]}; got {getattr(self, given[0])!r}.")
        learning_rate = self.learning_rate
        for gradient, variable in zip(gradients, variables, strict=True):
            self.update_step(gradient, variable, learning_rate)
        tf.raw_ops.AssignAddVariableOp(resource=self.iterations.handle, value=tf.ones([], self.iterations.dtype))
