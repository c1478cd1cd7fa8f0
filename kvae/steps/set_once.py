"""Attributes that can be set only when an object is made: changing them later would have no effect, so it raises."""

from typing import Any

from kvae.errors import KvaeError


class SetOnce:
    """A base for Keras layers and models: the attributes named in `set_once` can be set only once."""

    set_once: tuple[str, ...] = ()
    set_elsewhere: dict[str, str] = {}
    """Names that would become new attributes without any effect, and the attribute that has them as fields."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self.set_once and name in self.__dict__:
            raise KvaeError(
                f"{type(self).__name__}.{name} is fixed: it is built into the layers and the compiled step. "
                f"Make a new {type(self).__name__} with another {name}."
            )
        if name in self.set_elsewhere:
            place = self.set_elsewhere[name]
            raise KvaeError(f"{type(self).__name__} has no {name}: replace its {place}, which has one.")
        super().__setattr__(name, value)
