"""Fills the table of replacements: importing a topic's file registers its functions."""

from kvae.export.lowering import activations, control, convolutions, lists, resizing, shapes, variables

__all__ = ["activations", "control", "convolutions", "lists", "resizing", "shapes", "variables"]
