"""Compares one model under several settings."""

import kvae.training  # noqa: F401  # chooses the backend before Keras is imported
from kvae.comparison.measuring import Result
from kvae.comparison.settings import Setting, grid, parse_vary, preset
from kvae.comparison.sweeps import compare

__all__ = ["Result", "Setting", "compare", "grid", "parse_vary", "preset"]
