"""How to read a picture if its file does not say it: the colour behind transparent pixels, and the levels of black and
white."""

import re
from typing import NamedTuple

from kvae.errors import ConfigError


class Reading(NamedTuple):
    """The user's decisions for pictures that cannot be read without one."""

    alpha: str | None = None
    """The colour behind transparent pixels, "white" or "black"; None refuses them."""
    levels: tuple[int, int] | None = None
    """The levels that become black and white in pictures of more than 8 bits; None refuses such pictures."""
    holes: bool = False
    """Whether pixels may be missing: NaN in an array of floats, and those of a picture that are fully transparent, if
    `alpha` is None. Both are then NaN in what is read."""

    @classmethod
    def of(cls, alpha: str | None, levels: str | None) -> "Reading":
        """The reading for two settings, with the levels as "MIN:MAX".

        Raises:
            ConfigError: the levels are not of this form, or MIN is not below MAX.
        """
        if levels is None:
            return cls(alpha)
        found = re.fullmatch(r"(-?\d{1,9}):(-?\d{1,9})", levels)
        low, high = (int(found[1]), int(found[2])) if found else (0, 0)
        if low >= high:
            raise ConfigError(
                f"levels must be MIN:MAX, two integers with MIN below MAX, such as 0:65535; got '{levels}'."
            )
        return cls(alpha, (low, high))


PLAIN = Reading()
"""No decisions: pictures that need one are refused."""
