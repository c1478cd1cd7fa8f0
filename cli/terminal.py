"""What goes to stderr: the progress of long tasks, and which model was used."""

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

Item = TypeVar("Item")


def bar(length: int, label: str = "", hidden: bool = False) -> Any:
    """A progress bar on stderr, if that is a terminal."""
    return click.progressbar(length=length, label=label, file=sys.stderr, hidden=hidden or not sys.stderr.isatty())


def shown(batches: Iterator[Item], count: int, size: Callable[[Any], int], hidden: bool = False) -> Iterator[Item]:
    """Yield batches while a bar shows the progress.

    Args:
        batches: the batches to yield.
        count: number of images in all.
        size: returns the number of images in a batch.
        hidden: show no bar, for example because the results themselves are printed to the terminal.
    """
    with bar(count, hidden=hidden) as progress:
        for batch in batches:
            yield batch
            progress.update(size(batch))


def counter(label: str) -> Callable[[int, int], None]:
    """A function of how many are done, and how many there are, that shows a bar on stderr if that is a terminal."""
    shown: list[Any] = []

    def tell(done: int, total: int) -> None:
        if not shown:
            shown.append(bar(total, label))
            shown[0].__enter__()
        shown[0].update(done - shown[0].pos)
        if done == total:
            shown.pop().__exit__(None, None, None)

    return tell


@contextmanager
def status(text: str) -> Iterator[None]:
    """Show on stderr what is being done, while the block runs, if that is a terminal."""
    if not sys.stderr.isatty():
        yield
        return
    text = f"{text} ..."[: max(1, shutil.get_terminal_size().columns - 1)]
    print(text, end="\r", file=sys.stderr, flush=True)
    try:
        yield
    finally:
        print(" " * len(text), end="\r", file=sys.stderr, flush=True)


def tell_which(model: str | None, path: Path) -> None:
    """Print which model was used if the user named none; called after the work, so that an error stays one line."""
    if model is None:
        click.echo(f"model: {path}", err=True)


def log_to_stderr() -> None:
    """Print the library's log messages to stderr."""
    import logging  # takes 8 ms, and `kvae sample` does not need it

    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger("kvae")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False


def parity_text(parity: dict[str, float]) -> str:
    """The largest difference between onnxruntime and Keras in each output, as text for people."""
    return "worst error " + ", ".join(f"{name} {error:.1e}" for name, error in parity.items())
