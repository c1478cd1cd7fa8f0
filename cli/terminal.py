"""What is told on stderr: how far a long work is, and which model was taken."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import click

Item = TypeVar("Item")


def bar(length: int, label: str = "", hidden: bool = False) -> Any:
    """A progress bar on stderr, where that is a terminal."""
    return click.progressbar(length=length, label=label, file=sys.stderr, hidden=hidden or not sys.stderr.isatty())


def shown(batches: Iterator[Item], count: int, size: Callable[[Any], int], hidden: bool = False) -> Iterator[Item]:
    """The batches of a long work, while a bar shows how far they are.

    Args:
        batches: what is gone through.
        count: images in all.
        size: how many images a batch has.
        hidden: show none, where the results themselves are printed to the terminal.
    """
    with bar(count, hidden=hidden) as progress:
        for batch in batches:
            yield batch
            progress.update(size(batch))


def counter(label: str) -> Callable[[int, int], None]:
    """A function that is told how many of how many are done, and shows it on stderr, where that is a terminal."""
    shown: list[Any] = []

    def tell(done: int, total: int) -> None:
        if not shown:
            shown.append(bar(total, label))
            shown[0].__enter__()
        shown[0].update(done - shown[0].pos)
        if done == total:
            shown.pop().__exit__(None, None, None)

    return tell


def tell_which(model: str | None, path: Path) -> None:
    """Say which model was taken where none was named; after the work, so that an error stays one line."""
    if model is None:
        click.echo(f"model: {path}", err=True)


def log_to_stderr() -> None:
    """Print what the library logs."""
    import logging  # 8 ms that `kvae sample` can do without

    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger("kvae")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False


def parity_text(parity: dict[str, float]) -> str:
    """Per output the worst difference between onnxruntime and Keras, for people."""
    return "worst error " + ", ".join(f"{name} {error:.1e}" for name, error in parity.items())
