"""Ctrl-C and SIGTERM, handled at a convenient moment: after the current step."""

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

logger = logging.getLogger(__name__)

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(KeyboardInterrupt):
    """Raised when work ended as requested, with nothing lost."""


class Interrupt:
    """Whether the user, or the machine's scheduler, asked the work to end."""

    def __init__(self) -> None:
        self.asked = False


@contextmanager
def deferred() -> Iterator[Interrupt]:
    """Within the block, the first signal is only recorded, for the block to check; a second one interrupts at once.

    Outside the main thread, where Python receives no signals, nothing is deferred.
    """
    interrupt = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    # Signals are ignored in a script's background job; None means a handler that Python did not install.
    before = {number: handler for number, handler in handlers.items() if handler not in (signal.SIG_IGN, None)}

    def note(number: int, frame: FrameType | None) -> None:
        if interrupt.asked:
            raise KeyboardInterrupt
        interrupt.asked = True
        logger.warning("finishing this step, then saving; interrupt again to stop at once")

    for number in before:
        signal.signal(number, note)
    try:
        yield interrupt
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
