"""A family of exchangeable parts: a folder with one file per member; `kvae.config` lists the names."""

from collections.abc import Iterable
from importlib import import_module
from typing import Any

from kvae.errors import ConfigError
from kvae.files.text import printable


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
    """The words " Did you mean ...?" with the nearest of these names, as `nearest` finds it; empty if none is near."""
    found = nearest(name, names)
    return f" Did you mean {printable(found)}?" if found else ""


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The nearest of these names, or the one with the nearest word; None if none is near. Case does not matter."""
    import difflib  # here, because it is needed only for an error
    import re

    wholes: dict[str, str] = {}
    words: dict[str, str] = {}
    for known in names:
        wholes.setdefault(known.casefold(), known)
        for word in re.split(r"[\s/_,.]+", known.casefold()):
            words.setdefault(word, known)
    text = name.casefold()
    near = [
        (difflib.SequenceMatcher(None, form, text).ratio(), forms[form])
        for forms, cutoff in ((wholes, 0.4), (words, 0.6))
        for form in difflib.get_close_matches(text, forms, n=1, cutoff=cutoff)
    ]
    best = max(near, key=lambda found: found[0], default=None)  # the whole name if a word of another is as near
    return best[1] if best else None
