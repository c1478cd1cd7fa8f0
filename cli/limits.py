"""`--limit`: run a command on an untrusted model in a separate process, with bounds on its time and memory.

What a graph computes cannot be bounded by looking at it: a few bytes can ask onnxruntime for any amount of either, and
some graphs crash it. So the command goes on in a child process, and the parent only waits for it.
"""

import os
import re
import signal
import sys
import time
from typing import Any

import click

from kvae.cli import signals
from kvae.errors import KvaeError

LEAST_MEGABYTES = 512
"""Python, numpy and onnxruntime alone need most of this."""
MOST = 10**6
"""Largest number of seconds, and of megabytes."""
PAUSE = 0.01
"""Seconds between two looks at the child."""
GRACE = 1.0
"""Seconds that the child has to end after a SIGINT before it is sent one: a terminal's Ctrl-C reaches it anyway, and a
second one could stop it from removing what it has half written."""
PATIENCE = 5.0
"""Seconds that the child has to end after a signal: within a call of onnxruntime it cannot, and is killed then."""


def start(context: click.Context, _: click.Parameter, value: str | None) -> None:
    """Let the rest of the command run in a child process with these limits; the parent leaves with its exit status.

    Args:
        context: the command's context.
        value: "SECONDS" or "SECONDS,MB"; None for no limits and no child.

    Raises:
        KvaeError: in the parent: the child took too long, or a signal ended it. Here: the system has no fork.
    """
    if value is None or context.resilient_parsing:
        return
    seconds, megabytes = parse(value)
    if not hasattr(os, "fork"):
        raise KvaeError("--limit needs processes that can fork, which this system does not have.")
    sys.stdout.flush()
    sys.stderr.flush()
    signal.pthread_sigmask(signal.SIG_BLOCK, signals.OTHERS)  # until the parent knows its child
    child = os.fork()
    if child == 0:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, signals.OTHERS)
        _bound(seconds, megabytes)
        return
    context.exit(_wait(child, seconds, megabytes))


def parse(value: str) -> tuple[float, int | None]:
    """The seconds and, if given, the megabytes of "SECONDS[,MB]"; click's error for anything else."""
    found = re.fullmatch(r"(\d{1,7}(?:\.\d{1,3})?)(?:,(\d{1,7}))?", value)
    seconds = float(found[1]) if found else 0.0
    megabytes = int(found[2]) if found and found[2] else None
    if not 0 < seconds <= MOST or (megabytes is not None and not LEAST_MEGABYTES <= megabytes <= MOST):
        raise click.BadParameter(
            f"expected SECONDS, or SECONDS,MB with at least {LEAST_MEGABYTES} MB, such as 60,2000; got '{value}'."
        )
    return seconds, megabytes


def _bound(seconds: float, megabytes: int | None) -> None:
    """Limit this process; the processor time is limited too, in case its parent dies."""
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    processor = int(seconds + 1) * (os.cpu_count() or 1)
    resource.setrlimit(resource.RLIMIT_CPU, (processor, processor))
    if megabytes is not None:
        resource.setrlimit(resource.RLIMIT_AS, (megabytes * 10**6, megabytes * 10**6))


def _wait(child: int, seconds: float, megabytes: int | None) -> int:
    """The exit status of the child, which is ended when its time is up."""
    asked: list[tuple[int, float]] = []  # the signals that asked this process to end, and when
    is_passed_on = False

    def pass_on(number: int, _: Any) -> None:
        asked.append((number, time.monotonic()))
        if number != signal.SIGINT:
            os.kill(child, number)

    for number in (
        *signals.OTHERS,
        *([signal.SIGINT] if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN else []),
    ):
        signal.signal(number, pass_on)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, signals.OTHERS)
    deadline = time.monotonic() + seconds
    while (done := os.waitpid(child, os.WNOHANG))[0] == 0:
        now = time.monotonic()
        if now > deadline:
            _kill(child)
            raise KvaeError(f"not done after {seconds:g} s, the --limit; the process was stopped. Allow more time.")
        if asked and asked[0][0] == signal.SIGINT and not is_passed_on and now > asked[0][1] + GRACE:
            is_passed_on = True
            os.kill(child, signal.SIGINT)
        if asked and now > asked[0][1] + PATIENCE:
            _kill(child)
            raise signals.Ended(asked[0][0], signals.INTERRUPTED if asked[0][0] == signal.SIGINT else "")
        time.sleep(PAUSE)
    status = os.waitstatus_to_exitcode(done[1])
    if status < 0:
        within = f"{seconds:g} s" + (f" and {megabytes:,} MB" if megabytes else "")
        raise KvaeError(
            f"the process was ended by {_name(-status)} under a --limit of {within}: the model needs more, or makes "
            f"onnxruntime fail."
        )
    return status


def _kill(child: int) -> None:
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def _name(number: int) -> Any:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
