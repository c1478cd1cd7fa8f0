"""A float32 bundle in another precision or format."""

from kvae.conversion.conversion import Converted, convert

__all__ = ["Converted", "convert"]
