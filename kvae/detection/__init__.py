"""Which images are odd: statistics, p-values among a user's normal images, and how well odd is told from normal."""

from kvae.detection.calibration import Calibration, calibrate, surprise
from kvae.detection.conformal import p_values
from kvae.detection.maps import nats as nats_by_pixel
from kvae.detection.metrics import Metrics
from kvae.detection.metrics import measure as detection_metrics
from kvae.detection.statistics import STATISTICS

__all__ = [
    "STATISTICS", "Calibration", "Metrics", "calibrate", "detection_metrics", "nats_by_pixel", "p_values", "surprise",
]  # fmt: skip
