"""Compares one model under several settings."""

import kvae.steps.backend  # noqa: F401  # before Keras is imported
from kvae.comparison.measuring import Result
from kvae.comparison.settings import Setting, grid, parse_vary, preset
from kvae.comparison.sweeps import compare

__all__ = ["Result", "Setting", "compare", "grid", "parse_vary", "preset"]
