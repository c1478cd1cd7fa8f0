"""Adam as one operation per variable."""

from typing import Any

import keras
import tensorflow as tf


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
