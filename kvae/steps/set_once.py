"""Attributes that are set when an object is made, and whose later change would have no effect: it is refused."""

from typing import Any

from kvae.errors import KvaeError


class SetOnce:
    """A base for Keras layers and models: what is named in `set_once` can be set once."""

    set_once: tuple[str, ...] = ()
    set_elsewhere: dict[str, str] = {}
    """Names that would be new attributes without any effect, and the attribute that has them as its fields."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self.set_once and name in self.__dict__:
            raise KvaeError(
                f"{type(self).__name__}.{name} is fixed: it is built into the layers and the compiled step. "
                f"Make a new {type(self).__name__} with another {name}."
            )
        if name in self.set_elsewhere:
            place = self.set_elsewhere[name]
            raise KvaeError(f"{type(self).__name__} has no {name}: set its {place}, which does, to another one.")
        super().__setattr__(name, value)
