"""`kvae` alone: what can be done now, on this installation and in this folder."""

import shlex
import sys
from importlib.util import find_spec
from pathlib import Path

import click

from kvae import __version__
from kvae.bundle.locate import RUNS_FOLDER, newest_run
from kvae.cli import terminal
from kvae.files.text import printable, shortened
from kvae.machine import extras

HEADING = "variational autoencoders, trained with Keras, run anywhere"
MAX_COMMAND, MAX_RUN = 34, 26
"""The most characters of a command that has its text beside it, and of a run's name."""


def text(folder: Path, columns: int | None) -> str:
    """Commands that work now, each with what it does; about ten lines.

    Args:
        folder: where to look for runs, as `kvae sample` does.
        columns: the most characters in a line; None for no limit.
    """
    run = newest_run(folder)
    model = _name(run, folder) if run else "the shipped model"
    rows: list[tuple[str, str]] = []
    if find_spec("onnxruntime") is None:
        rows.append((extras.command("cpu"), "first: onnxruntime, which runs the models"))
    rows += [
        ("kvae sample --n 64", f"64 images from {model}"),
        ("kvae explore", "the same model, on a page in a browser"),
    ]
    if all(map(find_spec, ("tensorflow", "keras"))):
        rows.append(("kvae train --dataset fashion_mnist", "train a model of your own, in minutes"))
    elif sys.version_info[:2] <= extras.LAST_PYTHON:
        rows.append((extras.command("train"), "to train models of your own"))
    if count := _count(folder / RUNS_FOLDER):
        rows.append(("kvae runs", f"your {count} run{'s' * (count > 1)} in {RUNS_FOLDER}: how far they are"))
    rows += [
        ("kvae doctor", "what works here, and what is missing"),
        ("kvae --help", "all commands; kvae train --help: one"),
    ]
    return f"{terminal.wrapped(f'kvae {__version__}: {HEADING}.', columns)}\n\n{_listed(rows, columns)}"


def show() -> None:
    """Print it."""
    click.echo(text(Path.cwd(), terminal.width()))


def _listed(rows: list[tuple[str, str]], columns: int | None) -> str:
    """Commands beside what they do; above it if that does not fit. They are not broken, so that they can be copied."""
    size = max(len(command) for command, _ in rows if len(command) <= MAX_COMMAND)
    is_narrow = columns is not None and size + 4 + max(len(about) for _, about in rows) > columns
    lines = []
    for command, about in rows:
        if is_narrow or len(command) > size:
            lines += [f"  {command}", terminal.wrapped(f"      {about}", columns)]
        else:
            lines.append(f"  {command:<{size}}  {about}")
    return "\n".join(lines)


def _count(folder: Path) -> int:
    from kvae.runs.layout import CONFIG

    try:
        return sum((path / CONFIG).is_file() for path in folder.iterdir())
    except OSError:
        return 0


def _name(run: Path, folder: Path) -> str:
    return shortened(printable(shlex.quote(str(run.relative_to(folder)))), MAX_RUN)
