"""The data sets that have a name, a file each: `get("mnist")` is the one in `mnist.py`.

A new data set is one new file and its name in `kvae.config.DATASETS`.
"""

from kvae.config import DATASETS
from kvae.data.named.source import File, Source
from kvae.families import member

__all__ = ["File", "Source", "get"]


def get(name: str) -> Source:
    """The data set of this name: where its files are found, and what they must be.

    Raises:
        ConfigError: there is none.
    """
    source: Source = member(__name__, "dataset", name, DATASETS)
    return source
