"""Where the program `kvae` starts: Ctrl-C while kvae is still being imported ends it like any other Ctrl-C."""

import sys


def main() -> None:
    """Run the command line; see `kvae.cli.main`."""
    try:
        from kvae.cli.main import main as command

        command()
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        sys.exit(130)
