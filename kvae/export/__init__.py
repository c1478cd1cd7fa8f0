"""Exports a VAE as a bundle, which is checked before it appears."""

import kvae.model  # noqa: F401  # chooses the backend before Keras is imported
from kvae.bundle.parity import TOLERANCE, Difference
from kvae.export.bundles import Exported, export
from kvae.export.callback import CheckExport
from kvae.export.checking import check, problems
from kvae.export.parity_cases import PARITY_BATCHES, cases
from kvae.export.problem import NotExportable, Problem
from kvae.export.proof import check_fits, differences

__all__ = [
    "PARITY_BATCHES", "TOLERANCE", "CheckExport", "Difference", "Exported", "NotExportable", "Problem", "cases",
    "check", "check_fits", "differences", "export", "problems",
]  # fmt: skip
