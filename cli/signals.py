"""Signals that ask a program to end: it removes what it has half written, says one line, and exits with 128 + n."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

INTERRUPTED = "Interrupted."
_NAMES = ("SIGTERM", "SIGHUP", "SIGQUIT", "SIGXCPU", "SIGALRM", "SIGUSR1", "SIGUSR2", "SIGBREAK")
OTHERS = tuple(getattr(signal, name) for name in _NAMES if hasattr(signal, name))
"""The signals besides SIGINT that ask this system's programs to end: of a terminal, of limits, of a batch system."""

AGAIN = 0.5
"""Seconds after which a signal that seems to have been lost is sent again."""


class Ended(BaseException):
    """The process was asked to end. Not an Exception, so that only `finally` blocks act on it."""

    def __init__(self, number: int, message: str = "") -> None:
        super().__init__(message or f"Ended by {signal.Signals(number).name}.")
        self.status = 128 + number


@contextmanager
def heard() -> Iterator[None]:
    """Raise `Ended` for a signal in the block, so that temporary files are removed on the way out.

    Ctrl-C raises KeyboardInterrupt first, which may have a message for the user.

    Signals that are ignored, as under nohup, stay ignored, and those that the calling program handles stay its own.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    asked = 0
    reminder: threading.Timer | None = None
    ours = [number for number in OTHERS if signal.getsignal(number) is signal.SIG_DFL]

    def end(number: int, frame: FrameType | None) -> None:
        nonlocal asked, reminder
        # A second one must not stop the removal. But C code that calls Python may drop what is raised here, so a timer
        # sends the signal again until it is seen to be handled.
        is_handled = bool(asked) and sys.exc_info()[1] is not None
        asked = asked or number
        if reminder is not None:
            reminder.cancel()
        reminder = threading.Timer(AGAIN, signal.raise_signal, [asked])
        reminder.daemon = True
        reminder.start()
        if not is_handled:
            raise KeyboardInterrupt if asked == signal.SIGINT else Ended(asked)

    before: dict[int, Any] = dict.fromkeys(ours, signal.SIG_DFL)
    if signal.getsignal(signal.SIGINT) in (quit_at_once, signal.default_int_handler):
        before[signal.SIGINT] = signal.default_int_handler
    for number in before:
        signal.signal(number, end)
    try:
        yield
    except KeyboardInterrupt as error:
        raise Ended(signal.SIGINT, str(error) or INTERRUPTED) from None
    except Exception:
        if asked:  # while a compiled module was imported, for example, which makes an ImportError of it
            raise Ended(asked, INTERRUPTED if asked == signal.SIGINT else "") from None
        raise
    finally:
        for number in before:
            signal.signal(number, signal.SIG_IGN)
        if reminder is not None:
            reminder.cancel()
            reminder.join()
        for number, handler in before.items():
            signal.signal(number, handler)
        # `python -m` ends by SIGINT, whatever the status, once an interrupt has passed an exec of a string (a dataclass
        # is made by one) and none has been run since.
        exec("")


def quit_at_once(number: int, frame: FrameType | None) -> None:
    """End the process while it still imports: there is nothing to remove, and no import can be interrupted cleanly."""
    with contextlib.suppress(OSError):
        os.write(2, f"{INTERRUPTED}\n".encode())
    os._exit(128 + number)


def ignored_from_here() -> None:
    """Ignore Ctrl-C for the last moments, in which Python would answer it with a traceback."""
    if threading.current_thread() is threading.main_thread() and "pytest" not in sys.modules:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
