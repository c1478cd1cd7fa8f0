"""Converts a float32 bundle to another precision or format."""

from kvae.conversion.conversion import Converted, convert

__all__ = ["Converted", "convert"]
