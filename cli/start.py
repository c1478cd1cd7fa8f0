"""Where the program `kvae` starts: Ctrl-C is heard from here on, before the first slow import."""

import signal

from kvae.cli.signals import quit_at_once


def main() -> None:
    """Run `kvae` with the arguments of the command line."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, quit_at_once)
    from kvae.cli.main import main as run

    run()
