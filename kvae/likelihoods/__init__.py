"""The likelihoods p(x|z), one file each: `get("bernoulli")` returns the one in `bernoulli.py`.

| name | images it is for | log p(x|z) |
|---|---|---|
| bernoulli | bits | a log-probability; on grey intensities a surrogate, because nothing makes it sum to 1 over them |
| continuous_bernoulli | real numbers in [0, 1] | a log-density |
| discretized_logistic | 8-bit levels | a log-probability, hence bits per dimension |
| normal | real numbers | a log-density |

To add a likelihood, add a file here and its name to `kvae.config.LIKELIHOODS`.
"""

from kvae.config import LIKELIHOODS
from kvae.families import member
from kvae.likelihoods.likelihood import DENSITY, PROBABILITY, Likelihood, Noise

__all__ = ["DENSITY", "PROBABILITY", "Likelihood", "Noise", "get"]


def get(name: str) -> Likelihood:
    """The likelihood of this name.

    Raises:
        ConfigError: there is no such likelihood.
    """
    likelihood: Likelihood = member(__name__, "likelihood", name, LIKELIHOODS)
    return likelihood
