"""Measures how good a model is, using only its bundle."""

from kvae.evaluation.estimates import Estimate
from kvae.evaluation.evaluation import check_comparable, evaluate, paired
from kvae.evaluation.result import Evaluation

__all__ = ["Estimate", "Evaluation", "check_comparable", "evaluate", "paired"]
