"""Fills the table of replacements: importing a topic's file registers its functions."""

from kvae.export.lowering import activations, arrays, control, convolutions, lists, resizing, shapes, variables

__all__ = ["activations", "arrays", "control", "convolutions", "lists", "resizing", "shapes", "variables"]
