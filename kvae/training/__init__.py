"""Makes, resumes, finishes and exports runs; also the callbacks to use in your own `fit`."""

import kvae.steps.backend  # noqa: F401  # before Keras is imported
from kvae.training.building import build
from kvae.training.callbacks import Pictures, TensorBoard
from kvae.training.checkpoints import Checkpoints, State, restore
from kvae.training.exporting import export_run
from kvae.training.finishing import Run
from kvae.training.fitting import fit
from kvae.training.keras_files import load_model
from kvae.training.making import train
from kvae.training.prior_fitting import fit_prior
from kvae.training.resuming import follow, resume
from kvae.training.skipped import SkippedSteps

__all__ = [
    "Checkpoints",
    "Pictures",
    "Run",
    "SkippedSteps",
    "State",
    "TensorBoard",
    "build",
    "export_run",
    "fit",
    "fit_prior",
    "follow",
    "load_model",
    "restore",
    "resume",
    "train",
]
