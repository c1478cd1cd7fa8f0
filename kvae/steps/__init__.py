"""The training step: batches, the compiled loop, devices, non-finite steps. It knows nothing of VAEs."""

import kvae.steps.backend  # noqa: F401  # before Keras is imported
from kvae.steps.draws import Draws
from kvae.steps.example import Example
from kvae.steps.optimizers import FusedAdam
from kvae.steps.step_model import StepModel

__all__ = ["Draws", "Example", "FusedAdam", "StepModel"]
