"""Redirect what this process, including compiled code, writes to its standard error."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO


@contextmanager
def redirected(file: IO[bytes]) -> Iterator[None]:
    """Send stderr to a file while the block runs.

    C++ libraries write to file descriptor 2 directly, so this replaces the descriptor, not `sys.stderr`.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        os.dup2(file.fileno(), 2)
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)


@contextmanager
def silenced() -> Iterator[None]:
    """Discard what is written to stderr while the block runs."""
    with open(os.devnull, "wb") as nowhere, redirected(nowhere):
        yield
