"""A family of exchangeable parts: a folder with a file for each member, whose names stand in `kvae.config`."""

from collections.abc import Iterable
from importlib import import_module
from typing import Any

from kvae.errors import ConfigError


def member(package: str, kind: str, name: str, names: Iterable[str]) -> Any:
    """The member of a family that has this name.

    Args:
        package: the folder, such as "kvae.likelihoods". The member is its module of that name.
        kind: what a member is, such as "likelihood"; the module calls it `LIKELIHOOD`.
        name: the member's name.
        names: the names of the family in `kvae.config`.

    Raises:
        ConfigError: the family has no member of this name.
    """
    if name not in names:
        raise ConfigError(f"{kind} '{name}' is unknown. Known: {', '.join(names)}.")
    return getattr(import_module(f"{package}.{name}"), kind.upper())
