"""The top-level command, which turns errors into one line on stderr and an exit status."""

import contextlib
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from kvae.cli import signals
from kvae.cli.verbs import VerbGroup
from kvae.errors import KvaeError

_TRAIN_EXTRA = {"tensorflow", "keras", "tensorflow_probability", "tf_keras", "tf2onnx", "onnx", "matplotlib", "rich"}
MAX_MESSAGE = 2000
"""Maximum number of characters of an error message; the rest is cut."""


class OneLineGroup(VerbGroup):
    """Exit 1 for what the user can fix, 2 for wrong usage, each with one line; a bug keeps its traceback."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        # The parent process may have closed stdin, stdout or stderr: no file opened later may get their number.
        while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
            pass
        os.close(number)
        for name in ("stdout", "stderr"):
            if getattr(sys, name) is None:
                setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115  # open for as long as the process runs
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        if "_KVAE_COMPLETE" in os.environ:
            from kvae.cli import completion  # noqa: F401  # it teaches click kvae's way with bash
        try:
            result = super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        except click.exceptions.NoArgsIsHelpError as error:  # its message is the whole help text
            click.echo(error.format_message(), err=True)
            sys.exit(error.exit_code)
        except click.UsageError as error:
            from kvae.cli import suggestions

            command = error.ctx.command_path if error.ctx else "kvae"
            _fail(f"{suggestions.message(error)} Try '{command} --help'.", error.exit_code)
        except click.ClickException as error:
            _fail(error.format_message(), error.exit_code)
        except KvaeError as error:
            _fail(str(error), 1)
        except ModuleNotFoundError as error:
            module = (error.name or "").partition(".")[0]
            if module not in _TRAIN_EXTRA:
                raise
            from kvae.machine import extras

            _fail(f"this needs {module}; {extras.advice('train')}", 1)
        except MemoryError as error:  # of this machine, or of --limit
            _fail(f"not enough memory: {error or 'an allocation failed'}.", 1)
        except OSError as error:  # a bad path that no other check caught, or a full disk
            if error.strerror is None:
                raise
            _fail(f"{error.filename or 'the system'}: {error.strerror}.", 1)
        except signals.Ended as error:
            _end(str(error), error.status)
        # Outside standalone mode, click returns the status of ctx.exit() instead of exiting with it.
        sys.exit(result if isinstance(result, int) else 0)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb; here, because click would print an empty line for Ctrl-C."""
        with signals.heard():
            return super().invoke(ctx)


def _end(message: str, status: int) -> NoReturn:
    """End as the user asked: not an error, and nothing is left to be cut off by another Ctrl-C."""
    from kvae.files.text import printable

    signals.ignored_from_here()
    with contextlib.suppress(OSError):  # after a SIGHUP, the terminal is gone
        if sys.stderr.isatty():  # which shows ^C
            click.echo(err=True)
        click.echo(printable(message[:1].upper() + message[1:], limit=MAX_MESSAGE), err=True)
    sys.exit(status)


def _fail(message: str, status: int) -> NoReturn:
    from kvae.files.text import printable  # here, because --help does not need it

    click.echo(f"Error: {printable(message, limit=MAX_MESSAGE)}", err=True)
    sys.exit(status)
