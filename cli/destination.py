"""Where a result goes: --out names a file or a folder, and for some verbs "-" is standard output."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

STDOUT = Path("-")
"""What --out is for standard output; a file of this name is given to the verbs as an absolute path."""
SAME_AS_STDOUT = ("/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")


class Out(click.Path):
    """The type of --out: a path.

    Args:
        stdout: whether "-" is standard output; a verb that writes a folder has no use for it.
    """

    def __init__(self, stdout: bool = False) -> None:
        super().__init__(path_type=Path, readable=False)
        self.stdout = stdout

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path that a user gave."""
        if value == "":
            self.fail("the name is empty.", param, ctx)
        if value == "-":
            if not self.stdout:
                self.fail(
                    "'-' is standard output, which this option does not support; name a file or folder.", param, ctx
                )
            if sys.stdout.isatty():
                self.fail("standard output is a terminal; redirect it, or name a file.", param, ctx)
            if getattr(sys.stdout, "name", None) == os.devnull:  # see `kvae.cli.group`
                self.fail("standard output is closed; redirect it, or name a file.", param, ctx)
            return STDOUT
        if str(value) in SAME_AS_STDOUT:
            advice = "write --out -" if self.stdout else "this option does not support it; name a file or folder"
            self.fail(f"{value} is standard output: {advice}.", param, ctx)
        path = super().convert(value, param, ctx)
        return Path.cwd() / path if path == STDOUT else path


@contextmanager
def destination(out: Path, suffix: str) -> Iterator[Path]:
    """Yield the path to write to; for standard output, a temporary file whose content is then copied to it.

    Nothing is printed if the block fails.

    Args:
        out: as `Out` gives it.
        suffix: the format on standard output.
    """
    if out != STDOUT:
        yield out
        return
    if click.get_current_context().params.get("as_json"):
        raise click.UsageError("'--out -' and --json both print on standard output; leave one out.")
    import shutil  # neither is needed for a file
    import tempfile

    with tempfile.TemporaryDirectory(prefix="kvae-") as folder:
        path = Path(folder) / f"out{suffix}"
        yield path
        stdout = sys.stdout.buffer
        with path.open("rb") as file:
            shutil.copyfileobj(file, stdout)
        stdout.flush()


def check_apart(out: Path | None, inputs: Sequence[Path], model: Path | None = None, name: str = "--out") -> None:
    """Raise KvaeError if the output would replace, or be among, what is read; see `kvae.files.apart`.

    Args:
        out: as `Out` gives it; None is standard output.
        inputs: the files and folders that are read.
        model: the bundle's folder, or a lone graph.
        name: the option that gave the output.
    """
    from kvae.bundle.locate import home
    from kvae.files import apart

    if out is not None and out != STDOUT:
        apart.check(out, *inputs, model and home(model), name=name)
