"""The priors p(z), a file each: `get("standard_normal")` is the one in `standard_normal.py`.

A new prior is one new file and its name in `kvae.config.PRIORS`.
"""

from importlib import import_module

from kvae.config import PRIORS
from kvae.families import member
from kvae.model.priors.fixed import Fixed
from kvae.model.priors.prior import Prior
from kvae.model.priors.standard_normal import StandardNormal

__all__ = ["Fixed", "Prior", "StandardNormal", "get"]

for _name in PRIORS:  # so that Keras knows their classes when a model is loaded
    import_module(f"{__name__}.{_name}")


def get(name: str) -> type[Prior]:
    """The prior of this name.

    Raises:
        ConfigError: there is none.
    """
    prior: type[Prior] = member(__name__, "prior", name, PRIORS)
    return prior
