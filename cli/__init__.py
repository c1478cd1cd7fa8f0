"""The command line. Ctrl-C while it is being loaded ends it in one line, like Ctrl-C later."""

import os
import sys
from types import TracebackType
from typing import Any

_shown: Any = sys.excepthook


def _interrupted(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    if not issubclass(kind, KeyboardInterrupt):
        _shown(kind, error, traceback)
        return
    try:
        sys.stderr.write("Interrupted.\n")
        sys.stderr.flush()
    finally:
        os._exit(130)


sys.excepthook = _interrupted
