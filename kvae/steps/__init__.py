"""The step machine: batches, the compiled loop, devices, steps that are not finite. It knows no VAE."""

from kvae.steps.draws import Draws
from kvae.steps.example import Example
from kvae.steps.optimizers import FusedAdam
from kvae.steps.step_model import StepModel

__all__ = ["Draws", "Example", "FusedAdam", "StepModel"]
