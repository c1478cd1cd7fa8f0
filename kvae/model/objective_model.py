"""A step model whose loss is a replaceable objective, with a weight that can change during training."""

from dataclasses import replace
from typing import Any

import tensorflow as tf

from kvae.errors import KvaeError
from kvae.model.objectives import Objective
from kvae.model.terms import Terms
from kvae.steps import backend, schedules
from kvae.steps.step_model import StepModel


class ObjectiveModel(StepModel):
    """A model that minimises an objective.

    Args:
        objective: what training minimises.
        **kwargs: as for `StepModel`.
    """

    def __init__(self, objective: Objective, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._objective = _checked(objective)
        self._beta = tf.Variable(objective.beta, trainable=False, dtype=tf.float32)

    @property
    def objective(self) -> Objective:
        """What training minimises. Setting it takes effect at once; a compiled step is traced again."""
        return self._objective

    @objective.setter
    def objective(self, value: Objective) -> None:
        self._objective = _checked(value)
        self._beta.assign(value.beta)
        self.trace_again()

    @property
    def beta(self) -> float:
        """The weight of the regulariser, a variable: setting it, even in a callback, takes effect at the next step."""
        return self._objective.beta

    @beta.setter
    def beta(self, value: float) -> None:
        self._objective = replace(self._objective, beta=value)
        self._beta.assign(self._objective.beta)

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compile as the saved model was, but with a constant rate in place of a run's schedule, which ends at 0."""
        if isinstance(config.get("optimizer"), dict):
            config = config | {"optimizer": schedules.constant(config["optimizer"])}
        super().compile_from_config(config)

    def fit(self, *args: Any, **kwargs: Any) -> Any:
        """As in Keras; raises KvaeError without an optimizer, or if the learning rate is 0 from here on."""
        if getattr(self, "optimizer", None) is not None:  # a model that was not compiled has none
            schedules.check_not_over(self.optimizer)
        elif self.compiled:
            raise KvaeError(
                "fit needs an optimizer; got None. Compile the model: compile(optimizer=kvae.steps.FusedAdam(1e-3))."
            )
        with backend.plain_settings():  # Keras's schedules compute in the dtype of keras.json
            return super().fit(*args, **kwargs)

    def weighted_loss(self, terms: Terms, training: bool = False) -> tf.Tensor:
        """The objective's loss for these terms, in nats per image: at the full weight, or at that of the next step."""
        share = self._objective.ramp(self.optimizer.iterations) if training else 1.0
        return self._objective.loss(terms, self._beta * share)


def _checked(value: Any) -> Objective:
    """An objective; KvaeError for anything else."""
    if not isinstance(value, Objective):
        kind = type(value).__name__
        raise KvaeError(f"objective must be a kvae.model.objectives.Objective, such as ELBO(); got a {kind}.")
    return value
