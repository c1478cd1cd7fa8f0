"""What training minimises, one file each: `get("elbo")` returns the one in `elbo.py`.

To add an objective, add a file here and its name to `kvae.config.OBJECTIVES`.
"""

from importlib import import_module

from kvae.config import OBJECTIVES
from kvae.families import member
from kvae.model.objectives.elbo import ELBO
from kvae.model.objectives.objective import Objective

__all__ = ["ELBO", "Objective", "get"]

for _name in OBJECTIVES:  # so that Keras knows their classes when a model is loaded
    import_module(f"{__name__}.{_name}")


def get(name: str) -> type[Objective]:
    """The objective of this name.

    Raises:
        ConfigError: there is no such objective.
    """
    objective: type[Objective] = member(__name__, "objective", name, OBJECTIVES)
    return objective
