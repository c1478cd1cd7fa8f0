"""Reads an installed distribution's requirements from its metadata, and whether they are met, importing nothing."""

import itertools
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, metadata, requires, version

from packaging.requirements import Requirement as Parsed

from kvae.machine.extras import DISTRIBUTION


@dataclass(frozen=True)
class Requirement:
    """A distribution that another one needs."""

    name: str
    versions: str
    """Such as ">=3.15,<4"; empty if any version will do."""
    extra: str | None
    """The extra that needs it; None if it is always needed."""
    version: str | None
    """The installed version; None if it is not installed."""
    fits: bool
    """Whether a version that satisfies `versions` is installed."""


def of(distribution: str = DISTRIBUTION) -> list[Requirement]:
    """The requirements of an installed distribution, including all its extras, that apply to this Python.

    Empty if the distribution is not installed, e.g. if kvae is run from its folder.
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
        for extra in itertools.islice(applies, 1):  # None if it is needed without any extra
            found.append(_of(requirement, extra))
    return found


def _of(requirement: Parsed, extra: str | None) -> Requirement:
    present = installed(requirement.name)
    fits = present is not None and requirement.specifier.contains(present, prereleases=True)
    versions = ",".join(sorted(map(str, requirement.specifier), reverse=True))  # lower bound first
    return Requirement(requirement.name, versions, extra, present, fits)


def installed(name: str) -> str | None:
    """The version of a distribution; None if it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None
