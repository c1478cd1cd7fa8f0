"""What an installed distribution requires, and whether what is installed fits: by its metadata, importing nothing."""

import itertools
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, metadata, requires, version

from packaging.requirements import Requirement as Parsed

DISTRIBUTION = "kvae-onnx"


@dataclass(frozen=True)
class Requirement:
    """A distribution that another one needs."""

    name: str
    versions: str
    """As in ">=3.15,<4"; empty where any will do."""
    extra: str | None
    """The extra that needs it; None where it is always needed."""
    version: str | None
    """The one that is installed; None where there is none."""
    fits: bool
    """Whether one is installed whose version is among those required."""


def of(distribution: str = DISTRIBUTION) -> list[Requirement]:
    """The requirements of an installed distribution, of all its extras, that apply to this Python.

    A distribution that is not installed, such as kvae run from its folder, has none.
    """
    try:
        parsed = [Parsed(line) for line in requires(distribution) or []]
        extras = metadata(distribution).get_all("Provides-Extra") or []
    except PackageNotFoundError:
        return []
    found = []
    for requirement in parsed:
        marker = requirement.marker
        applies = (extra for extra in (None, *extras) if marker is None or marker.evaluate({"extra": extra or ""}))
        for extra in itertools.islice(applies, 1):  # None where it is needed without any extra
            found.append(_of(requirement, extra))
    return found


def _of(requirement: Parsed, extra: str | None) -> Requirement:
    present = installed(requirement.name)
    fits = present is not None and requirement.specifier.contains(present, prereleases=True)
    versions = ",".join(sorted(map(str, requirement.specifier), reverse=True))  # from below first
    return Requirement(requirement.name, versions, extra, present, fits)


def installed(name: str) -> str | None:
    """The version of a distribution; None where it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None
