"""The networks that kvae trains, one file each: `get("mlp")` returns the one in `mlp.py`.

To add an architecture, add a file here, and its name and the width of its dense layers to `kvae.config.ARCHITECTURES`.
"""

from importlib import import_module

from kvae.config import ARCHITECTURES
from kvae.families import member
from kvae.model.architectures.architecture import Architecture

__all__ = ["Architecture", "get"]

for _name in ARCHITECTURES:  # so that Keras knows their classes when a model is loaded
    import_module(f"{__name__}.{_name}")


def get(name: str) -> Architecture:
    """The architecture of this name.

    Raises:
        ConfigError: there is no such architecture.
    """
    architecture: Architecture = member(__name__, "architecture", name, ARCHITECTURES)
    return architecture
