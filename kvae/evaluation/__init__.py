"""Measures how good a model is, using only its bundle."""

from kvae.evaluation.estimates import Estimate
from kvae.evaluation.evaluation import check_comparable, evaluate, paired
from kvae.evaluation.extractors import Extractor
from kvae.evaluation.extractors import choose as choose_features
from kvae.evaluation.prior_samples import sample_quality
from kvae.evaluation.quality import Quality
from kvae.evaluation.result import Evaluation

__all__ = [
    "Estimate", "Evaluation", "Extractor", "Quality", "check_comparable", "choose_features", "evaluate", "paired",
    "sample_quality",
]  # fmt: skip
