"""`kvae verify`: repeats the checks of a bundle's export on any machine and device, without TensorFlow."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kvae.checks import file_checks, graph_checks
from kvae.checks.file_checks import Finding, Skipped, Subject
from kvae.errors import BundleError, KvaeError
from kvae.runtime import sessions, sources

OK, FAILED, SKIPPED = "ok", "failed", "skipped"


@dataclass(frozen=True)
class Check:
    """The result of one check."""

    name: str
    status: str
    """`OK`, `FAILED` or `SKIPPED`."""
    detail: str
    """What was found, or why it failed or was skipped, for people."""
    figures: dict[str, float]
    """The measurements, by name."""


@dataclass(frozen=True)
class Report:
    """The results of all checks."""

    path: Path
    device: str
    """"cpu" or "cuda"; the device that was asked for, if no graph loads."""
    checks: list[Check]

    @property
    def passed(self) -> bool:
        """Whether no check failed."""
        return all(check.status != FAILED for check in self.checks)

    def to_dict(self) -> dict[str, Any]:
        """As JSON values; figures that are not finite are null."""
        checks = [
            {"name": check.name, "status": check.status, "detail": check.detail}
            | {"figures": {name: value if math.isfinite(value) else None for name, value in check.figures.items()}}
            for check in self.checks
        ]
        return {"model": str(self.path), "device": self.device, "passed": self.passed, "checks": checks}


CHECKS: dict[str, Callable[[Subject], Finding]] = {
    "manifest": file_checks.manifest,
    "hashes": file_checks.hashes,
    "loading": file_checks.loading,
    "metadata": file_checks.metadata,
    "operators": file_checks.operator_set,
    "shapes": file_checks.shapes,
    "batch sizes": graph_checks.batch_sizes,
    "range": graph_checks.value_range,
    "parity": graph_checks.reference_parity,
    "noise": graph_checks.pinned_noise,
    "speed": graph_checks.speed,
}
"""The checks by name, in order: the first ones open what the later ones run."""


def verify(
    path: Path, device: str = "auto", further: Mapping[str, Callable[[Subject], Finding]] | None = None
) -> Report:
    """Check a bundle; each check runs whatever the others find, as far as that makes sense.

    Args:
        path: a bundle folder, or a graph that kvae exported.
        device: "cpu", "cuda", or "auto", the default: CUDA if it works, else the CPU.
        further: more checks to run after `CHECKS`, by name; none by default.

    Raises:
        KvaeError: there is nothing at `path`, or the device is unknown.
    """
    if device not in sessions.DEVICES:
        raise KvaeError(f"device must be one of {', '.join(sessions.DEVICES)}; got '{device}'.")
    if not path.exists():
        raise BundleError(f"{path} does not exist; expected a bundle folder or a decoder.onnx.")
    sources.check_unpacked(path)
    subject = Subject(path, device)
    checks = [_make(name, check, subject) for name, check in (CHECKS | dict(further or {})).items()]
    return Report(path, subject.device, checks)


def _make(name: str, check: Callable[[Subject], Finding], subject: Subject) -> Check:
    try:
        finding = check(subject)
    except Skipped as reason:
        return Check(name, SKIPPED, str(reason), {})
    except KvaeError as error:
        return Check(name, FAILED, str(error), {})
    return Check(name, OK, finding.detail, finding.figures)
