"""Reads a run's folder without TensorFlow."""

from kvae.runs.files import RunFiles
from kvae.runs.listing import find

__all__ = ["RunFiles", "find"]
