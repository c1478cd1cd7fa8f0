"""The priors p(z), one file each: `get("standard_normal")` returns the one in `standard_normal.py`.

To add a prior, add a file here and its name to `kvae.config.PRIORS`.
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
        ConfigError: there is no such prior.
    """
    prior: type[Prior] = member(__name__, "prior", name, PRIORS)
    return prior
