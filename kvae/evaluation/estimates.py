"""A mean over images, and how far it can be trusted."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Estimate:
    """A mean over images and its standard error over images."""

    value: float
    standard_error: float

    @classmethod
    def of(cls, values: NDArray[Any]) -> "Estimate":
        """From one number per image; the standard error includes the estimator's noise."""
        doubles = np.asarray(values, np.float64)
        return cls(float(doubles.mean()), float(doubles.std(ddof=1) / np.sqrt(len(doubles))))
