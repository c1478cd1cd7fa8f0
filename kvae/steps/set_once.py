"""Attributes that can be set only when an object is made: changing them later would have no effect, so it raises."""

import difflib
import warnings
from typing import Any

from kvae.errors import KvaeError

SIMILAR = 0.85
"""How alike, of 1, the name of a new attribute and that of a setting must be for it to be taken for a slip."""


class SetOnce:
    """A base for Keras layers and models: the attributes named in `set_once` can be set only once."""

    set_once: tuple[str, ...] = ()
    settings_of: tuple[str, ...] = ()
    """Attributes that have settings of their own: to set one of these here would be a new attribute without effect."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self.set_once and name in self.__dict__:
            raise KvaeError(
                f"{type(self).__name__}.{name} is fixed: it is built into the layers and the compiled step. "
                f"Make a new {type(self).__name__} with another {name}."
            )
        if name[0] != "_" and not hasattr(self, name):
            for place in self.settings_of:
                if hasattr(getattr(self, place, None), name):
                    raise KvaeError(f"{type(self).__name__} has no {name}, but its {place} has: set it there.")
            meant = difflib.get_close_matches(name, self._settings(), 1, SIMILAR)
            if meant not in ([], [name]):
                warnings.warn(
                    f"{type(self).__name__} has no {name}, so setting it has no effect; did you mean {meant[0]}?",
                    stacklevel=2,
                )
        super().__setattr__(name, value)

    def _settings(self) -> set[str]:
        """The names of what can be set here, or when it is made, or in one of `settings_of`."""
        kind = type(self)
        properties = {name for name in dir(kind) if getattr(getattr(kind, name, None), "fset", None) is not None}
        elsewhere = [_public(getattr(self, place, None)) for place in self.settings_of]
        return properties.union(self.set_once, self.settings_of, *elsewhere)


def _public(thing: Any) -> set[str]:
    return {name for name in dir(thing) if name[0] != "_" and not callable(getattr(type(thing), name, None))}
