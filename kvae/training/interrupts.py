"""Ctrl-C and SIGTERM, heard at a moment that suits: after the step that is being made."""

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

logger = logging.getLogger(__name__)

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(KeyboardInterrupt):
    """Raised where the work was ended as asked, and nothing is lost."""


class Interrupt:
    """Whether the user, or the machine's scheduler, asked for an end."""

    def __init__(self) -> None:
        self.asked = False


@contextmanager
def deferred() -> Iterator[Interrupt]:
    """Within the block a first signal is noted, for the block to look at; a second one interrupts at once.

    Outside of the main thread, where Python hears no signals, nothing is deferred.
    """
    interrupt = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    # Ignored in a background job of a script; None is a handler that is not Python's.
    before = {number: handler for number, handler in handlers.items() if handler not in (signal.SIG_IGN, None)}

    def note(number: int, frame: FrameType | None) -> None:
        if interrupt.asked:
            raise KeyboardInterrupt
        interrupt.asked = True
        logger.warning("finishing the step, then saving; once more ends at once")

    for number in before:
        signal.signal(number, note)
    try:
        yield interrupt
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
