"""A family of exchangeable parts: a folder with one file per member; `kvae.config` lists the names."""

from collections.abc import Iterable
from importlib import import_module
from typing import Any

from kvae.errors import ConfigError


def member(package: str, kind: str, name: str, names: Iterable[str]) -> Any:
    """The member of a family with this name.

    Args:
        package: the folder, such as "kvae.likelihoods". The member is defined in its module of that name.
        kind: what a member is, such as "likelihood"; the module then defines it as `LIKELIHOOD`.
        name: the member's name.
        names: all names of the family, from `kvae.config`.

    Raises:
        ConfigError: the family has no member of this name.
    """
    if name not in names:
        raise ConfigError(unknown(kind, name, names))
    return getattr(import_module(f"{package}.{name}"), kind.upper())


def unknown(kind: str, name: str, names: Iterable[str]) -> str:
    """The message about a name that does not exist, with the nearest one that does.

    Args:
        kind: what was named, such as "recipe".
        name: the name that was given.
        names: the names that exist.
    """
    known = list(names)
    return f"{kind} '{name}' is unknown.{suggestion(name, known)} Known: {', '.join(known) or 'none'}."


def suggestion(name: str, names: Iterable[str]) -> str:
    """The words " Did you mean ...?" with the nearest of these names; empty if none is near."""
    import difflib  # here, because it is needed only for an error

    close = difflib.get_close_matches(name, names, n=1, cutoff=0.4)
    return f" Did you mean {close[0]}?" if close else ""
