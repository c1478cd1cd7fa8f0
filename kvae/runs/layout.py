"""The files of a run's folder, by name: each is spelt here, and nowhere else.

The bundle's folder, by which `kvae sample` finds the newest run, is named in `kvae.bundle.locate`.
"""

from kvae.bundle.locate import BUNDLE_FOLDER as BUNDLE

CONFIG = "config.json"
"""The settings: the run begins with it, and goes on from it."""
ENVIRONMENT = "environment.json"
"""Versions of the programs that it was made with."""
DATASET = "dataset.json"
"""Name, sha256 and numbers of the images."""
IMAGES = "images.csv"
"""Name, label, split and sha256 of each image of a user's own."""
HISTORY = "history.csv"
"""A line per epoch."""
SKIPPED = "skipped.jsonl"
"""Steps that were not applied."""
MODEL = "model.keras"
"""The model, best on the validation loss."""
CHECKPOINT = "checkpoints/last.keras"
"""The last model, with its optimizer."""
PICTURES = "pictures"
"""Folder of the samples and reconstructions of some epochs."""
SAMPLES, RECONSTRUCTIONS, CURVES = "samples.png", "reconstructions.png", "curves.png"
TENSORBOARD = "tensorboard"
"""Folder of the events."""
REPORT = "report.html"
"""All of it to look at."""
METRICS = "metrics.json"
"""Test metrics: the run is finished."""

__all__ = [
    "BUNDLE", "CHECKPOINT", "CONFIG", "CURVES", "DATASET", "ENVIRONMENT", "HISTORY", "IMAGES", "METRICS", "MODEL",
    "PICTURES", "RECONSTRUCTIONS", "REPORT", "SAMPLES", "SKIPPED", "TENSORBOARD",
]  # fmt: skip
