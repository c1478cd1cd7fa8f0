"""Compares one model under several settings."""

from kvae.comparison.measuring import Result
from kvae.comparison.settings import Setting, grid, parse_vary, preset
from kvae.comparison.sweeps import compare

__all__ = ["Result", "Setting", "compare", "grid", "parse_vary", "preset"]
