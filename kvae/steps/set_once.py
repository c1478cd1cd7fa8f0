"""Attributes that can be set only when an object is made: changing them later would have no effect, so it raises."""

from typing import Any

from kvae.errors import KvaeError


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
        super().__setattr__(name, value)
