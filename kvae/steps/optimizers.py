"""Adam as one operation per variable, a moving average of the weights, and the learning rate of a loaded model."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import tensorflow as tf

from kvae.errors import KvaeError
from kvae.steps import schedules
from kvae.steps.keras_private import adam_slots, rate_of


@keras.saving.register_keras_serializable("kvae")
class FusedAdam(keras.optimizers.Adam):
    """Keras's Adam, updating each variable in one pass over memory with TensorFlow's fused operation.

    Arguments, state and update rule are those of `keras.optimizers.Adam`, whose update is a dozen operations, each of
    them a pass over the variable and its moments. If XLA compiles the step, it fuses them anyway. `amsgrad`, which
    the fused operation does not support, is left to Keras.

    Args:
        average: the decay per step of a moving average of the weights, below 1; 0, the default, for none. At step t,
            from 0, the decay is min(average, (1 + t) / (10 + t)), so that the average soon forgets the first weights;
            a step that is not applied does not change it. (Keras's own `use_ema` would replace the weights at the end
            of every `fit`.) `averaged` shows the model with the averages.
        **settings: as for `keras.optimizers.Adam`.

    A model that was saved while the schedule of a run (`kvae.steps.schedules.RunCosine`) set the rate is loaded with
    the constant rate that the schedule began with, because the schedule ends at 0. `compile` it again, or set
    `model.optimizer.learning_rate`, for another rate. Any other schedule is kept.

    References: Kingma & Ba, Adam, arXiv 1412.6980 (with the order of operations given before its section 2.1); Polyak
    & Juditsky, SIAM J. Control Optim. 30(4), 1992 (averages).
    """

    _wanted: tf.Tensor | None = None
    """In `apply_if`: whether to make the update."""
    _shows_averages = False
    """Whether the model's weights and the averages have changed places."""

    def __init__(self, *args: Any, average: float = 0.0, **settings: Any) -> None:
        super().__init__(*args, **settings)
        if not 0.0 <= average < 1.0:
            raise KvaeError(f"average, the decay of the weights' moving average, must be in [0, 1); got {average!r}.")
        self.average = average
        self._averages: list[Any] = []

    def build(self, variables: list[Any]) -> None:
        if self.built:
            return
        super().build(variables)
        if self.average:
            self._averages = self.add_optimizer_variables(variables, "average")
            for average, variable in zip(self._averages, variables, strict=True):
                average.assign(variable)

    def update_step(self, gradient: tf.Tensor, variable: Any, learning_rate: Any) -> None:
        self._update(gradient, variable, learning_rate)
        if self.average:
            self._update_average(variable)

    def _update_average(self, variable: Any) -> None:
        average = self._averages[self._get_variable_index(variable)].value
        step = tf.cast(self.iterations, variable.dtype)
        decay = tf.minimum(tf.constant(self.average, variable.dtype), (1.0 + step) / (10.0 + step))
        if self._wanted is not None:
            decay = tf.where(self._wanted, decay, tf.ones_like(decay))
        values = [tf.raw_ops.ReadVariableOp(resource=item.handle, dtype=variable.dtype) for item in (average, variable)]
        moved = decay * values[0] + (1.0 - decay) * values[1]
        tf.raw_ops.AssignVariableOp(resource=average.handle, value=moved)  # each replica's own, like Adam's moments

    def _update(self, gradient: tf.Tensor, variable: Any, learning_rate: Any) -> None:
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
        names = ("amsgrad", "weight_decay", "clipnorm", "clipvalue", "use_ema", "gradient_accumulation_steps")
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
        if self.global_clipnorm:
            gradients, _ = tf.clip_by_global_norm(gradients, self.global_clipnorm)
        for gradient, variable in zip(gradients, variables, strict=True):
            self.update_step(gradient, variable, learning_rate)
        tf.raw_ops.AssignAddVariableOp(resource=self.iterations.handle, value=tf.ones([], self.iterations.dtype))

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """A block in which the model has the averaged weights; without averages, or within another such block, as is.

        The other weights are in the optimizer meanwhile: a model that is saved in the block loads with the averages.
        """
        was_shown = self._shows_averages
        self.show_averages(True)
        try:
            yield
        finally:
            self.show_averages(was_shown)

    def show_averages(self, wanted: bool) -> None:
        """Give the model its averaged weights, or the others again, to the last bit; nothing without averages."""
        if wanted == self._shows_averages or not self._averages:
            return
        for average, variable in zip(self._averages, self._trainable_variables, strict=True):
            values = tf.identity(average.value), tf.identity(variable.value)
            variable.assign(values[0])
            average.assign(values[1])
        self._shows_averages = wanted

    def loaded_with_averages(self) -> None:
        """Say that the state of model and optimizer was loaded from a file that was saved with the averages shown."""
        self._shows_averages = bool(self._averages)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | ({"average": self.average} if self.average else {})

    def load_own_variables(self, store: Any) -> None:
        """Load the state, also one that was saved with a schedule in place of the constant rate of this optimizer."""
        without_rate = [variable for variable in self.variables if variable is not rate_of(self)]
        if len(store.keys()) == len(without_rate) < len(self.variables):
            for index, variable in enumerate(without_rate):
                variable.assign(store[str(index)])
            return
        super().load_own_variables(store)
        if schedules.is_old(rate_of(self), self.iterations):
            self.learning_rate = schedules.held(rate_of(self))
