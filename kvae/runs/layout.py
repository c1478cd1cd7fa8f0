"""The names of the files in a run's folder, defined only here.

The name of the bundle's folder, by which `kvae sample` finds the newest run, is in `kvae.bundle.locate`.
"""

from kvae.bundle.locate import BUNDLE_FOLDER as BUNDLE

CONFIG = "config.json"
"""The settings: written when the run begins, and read when it resumes."""
ENVIRONMENT = "environment.json"
"""Versions of the packages that the run was made with."""
DATASET = "dataset.json"
"""Name, sha256 and numbers of the images in the data set."""
IMAGES = "images.csv"
"""Name, label, split and sha256 of each image, if the data set is the user's own."""
HISTORY = "history.csv"
"""The losses and metrics, one line per epoch."""
SKIPPED = "skipped.jsonl"
"""The steps that were not applied."""
MODEL = "model.keras"
"""The model with the lowest validation loss."""
CHECKPOINT = "checkpoints/last.keras"
"""The last model, with its optimizer."""
PICTURES = "pictures"
"""Folder of the samples and reconstructions of some epochs."""
SAMPLES, RECONSTRUCTIONS, CURVES = "samples.png", "reconstructions.png", "curves.png"
TENSORBOARD = "tensorboard"
"""Folder of the TensorBoard events."""
DIAGNOSIS = "diagnosis.json"
"""What to know about the training: a collapse, a loss that still falls."""
REPORT = "report.html"
"""The HTML report on the run."""
LONGER = "longer"
"""Folder of a finished run that is being trained longer: a run in it, whose files then take the place of the old."""
METRICS = "metrics.json"
"""Test metrics; present only if the run is finished."""
COMPARISON = "results.json"
"""The verdict and the numbers of a comparison, in its own folder, beside its runs."""

__all__ = [
    "BUNDLE", "CHECKPOINT", "COMPARISON", "CONFIG", "CURVES", "DATASET", "DIAGNOSIS", "ENVIRONMENT", "HISTORY",
    "IMAGES", "LONGER", "METRICS", "MODEL", "PICTURES", "RECONSTRUCTIONS", "REPORT", "SAMPLES", "SKIPPED",
    "TENSORBOARD",
]  # fmt: skip
