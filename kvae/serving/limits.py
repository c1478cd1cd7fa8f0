"""What a service grants a request and a client, so that neither memory nor time can be taken without bounds."""

from typing import Any, NamedTuple

from kvae.errors import KvaeError
from kvae.files.text import printable

MIB = 2**20


class Limits(NamedTuple):
    """The limits of a service."""

    max_body: int = 16 * MIB
    """Bytes in the body of a request; more are answered with 413."""
    max_images: int = 1024
    """Images, or codes, in a request or its answer; more are answered with 422."""
    max_waiting: int = 256
    """Requests that may wait for the model; further ones are answered with 503."""
    rate: str | None = None
    """Requests of each client address, such as "100/second" or "5000/hour"; more are answered with 429. None for any
    number."""


DEFAULTS = Limits()


def parse_rate(rate: str) -> Any:
    """A rate as the library `limits` knows it.

    Raises:
        KvaeError: it is not one.
    """
    from limits import parse_many

    try:
        found = parse_many(rate)
    except ValueError:
        found = []
    if len(found) != 1 or found[0].amount < 1:
        form = "one number per second, minute, hour or day, such as 100/second"
        raise KvaeError(f"the rate must be {form}; got '{printable(rate, 40)}'.")
    return found[0]


class Rates:
    """How often each client may ask.

    Args:
        rate: see `Limits.rate`.
    """

    def __init__(self, rate: str | None) -> None:
        from limits.storage import MemoryStorage
        from limits.strategies import FixedWindowRateLimiter

        self._rate = None if rate is None else parse_rate(rate)
        self._limiter = FixedWindowRateLimiter(MemoryStorage())

    def __str__(self) -> str:
        return str(self._rate)

    def allows(self, client: str) -> bool:
        """Count a request, and say whether it may be answered."""
        return self._rate is None or bool(self._limiter.hit(self._rate, client))
