"""How a picture is read where the file alone does not say it: what lies below transparency, which levels are black and
white."""

import re
from typing import NamedTuple

from kvae.errors import ConfigError


class Reading(NamedTuple):
    """What a user decided about pictures that cannot be read without a decision."""

    alpha: str | None = None
    """The colour below transparent pixels, "white" or "black"; None refuses them."""
    levels: tuple[int, int] | None = None
    """Of pictures of more than 8 bits, the levels that become black and white; None refuses them."""

    @classmethod
    def of(cls, alpha: str | None, levels: str | None) -> "Reading":
        """The reading of two settings, the levels as "MIN:MAX".

        Raises:
            ConfigError: other text, or a MIN that is not below MAX.
        """
        if levels is None:
            return cls(alpha)
        found = re.fullmatch(r"(-?\d{1,9}):(-?\d{1,9})", levels)
        low, high = (int(found[1]), int(found[2])) if found else (0, 0)
        if low >= high:
            raise ConfigError(f"levels must be MIN:MAX, two integers, MIN below MAX, such as 0:65535; got '{levels}'.")
        return cls(alpha, (low, high))


PLAIN = Reading()
"""Nothing is decided: what needs a decision is refused."""
