"""What is shown on a terminal: text and tables that fit it, progress bars, and which model was used."""

import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeVar

import click

from kvae.files.text import shortened

Item = TypeVar("Item")
MIN_TEXT = 16
"""The fewest columns in which text wraps under the text of its line; if fewer are left, it wraps under its label."""
JOINED = "\u00a0"
"""A space at which `wrapped` breaks no line; it prints an ordinary one."""


def width(stream: IO[str] | None = None) -> int | None:
    """The columns of the terminal that a stream (stdout by default) writes to; None if it is not a terminal."""
    import shutil  # takes 2 ms, and kvae --help does not need it

    stream = sys.stdout if stream is None else stream
    return shutil.get_terminal_size().columns if stream.isatty() else None


def wrapped(text: str, columns: int | None, label: int | None = None) -> str:
    """Text whose lines are broken between words, under the text of a line's label ("label   text ...").

    Neither words nor numbers with their standard errors are broken; only paths longer than a line are, after a "/".

    Args:
        text: the lines.
        columns: the most characters in a line; None to break no line.
        label: the length of the lines' labels; by default they end at the last two spaces in a line.
    """
    if columns is not None:
        text = "\n".join(part for line in text.split("\n") for part in _broken(line, columns, label))
    return text.replace(JOINED, " ")


def _broken(line: str, columns: int, label: int | None) -> list[str]:
    import re

    if len(line) <= columns:
        return [line]
    gaps = [gap.end() for gap in re.finditer(r"(?<=\S) {2,}(?=\S)", line)]
    gaps = gaps if label is None else [label]
    size = max((end for end in gaps if columns - end >= MIN_TEXT), default=0)
    blank = len(line) - len(line.lstrip())
    start = line[: size or blank]
    indent = " " * (size or blank + 2 * bool(gaps))
    text = re.sub(r" ([±x]) ", rf"{JOINED}\1{JOINED}", line[len(start) :]).replace("≤ ", f"≤{JOINED}")
    text = re.sub(r"\[[^\]]{,30}\]", lambda shape: shape[0].replace(" ", JOINED), text)
    lines, current, gap = [], start, ""
    for word in text.split(" "):
        for part in [word] if len(indent) + len(word) <= columns else re.findall("[^/]*/|[^/]+", word):
            if current.strip() and len(current) + len(gap) + len(part) > columns:
                lines.append(current.rstrip())
                current, gap = indent[: max(0, columns - len(part))], ""
            current, gap = current + gap + part, ""
        gap = " "
    return [*lines, current.rstrip()]


def table(
    *forms: Sequence[Sequence[str]], columns: int | None, right: Collection[int] = (), optional: Sequence[int] = ()
) -> str:
    """Rows as aligned columns that fit a terminal.

    If they do not fit, the columns of `optional` are left out, one by one; then the next form is tried. If no form
    fits, each row becomes a line with its first cell and a line for each other cell, behind the name of its column.

    Args:
        *forms: the table, the most detailed form first: the names of the columns, then rows of as many cells.
        columns: the most characters in a line; None for no limit.
        right: the columns that are right-aligned.
        optional: the columns that may be left out, the least important first.
    """
    for rows in forms:
        for count in range(len(optional) + 1):
            kept = [index for index in range(len(rows[0])) if index not in optional[:count]]
            lines = _aligned(rows, kept, right)
            if columns is None or max(map(len, lines)) <= columns:
                return "\n".join(line for line in lines if line)
    size = max(len(rows[0][index]) for index in kept[1:])
    stacked = []
    for row in rows[1:]:
        stacked.append(row[kept[0]])
        stacked += [f"  {rows[0][index]:<{size}}  {row[index]}" for index in kept[1:] if row[index]]
    return wrapped("\n".join(stacked), columns)


def _aligned(rows: Sequence[Sequence[str]], kept: Sequence[int], right: Collection[int]) -> list[str]:
    sizes = {index: max(len(row[index]) for row in rows) for index in kept}
    return [
        "  ".join(
            row[index].rjust(sizes[index]) if index in right else row[index].ljust(sizes[index])
            for index in kept
            if sizes[index]
        ).rstrip()
        for row in rows
    ]


def tell(text: str) -> None:
    """Print lines on stderr, wrapped if that is a terminal, above the status."""
    _clear()
    click.echo(wrapped(text, width(sys.stderr)), err=True)
    if _shown:
        print(_shown[-1], end="\r", file=sys.stderr, flush=True)


def bar(length: int, label: str = "", hidden: bool = False) -> Any:
    """A progress bar on stderr, as wide as it, if that is a terminal."""
    columns = width(sys.stderr)
    if columns is not None:
        label = shortened(label, columns // 3)
    return click.progressbar(length=length, label=label, file=sys.stderr, hidden=hidden or columns is None, width=0)


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


def tell_skipped(skipped: Sequence[Any], count: int) -> None:
    """Print the pictures that were skipped, a line each, and how many they were; see `kvae.data.images.Bad`."""
    from kvae.files.text import printable

    for name, reason in skipped:
        click.echo(f"skipped: {printable(name, limit=1000)}: {printable(reason)}", err=True)
    if skipped:
        click.echo(f"{len(skipped):,} of {count:,} images were skipped.", err=True)


_shown: list[str] = []
"""The status that is on the screen, if there is one."""


@contextmanager
def status(text: str, plain: bool = False) -> Iterator[None]:
    """Show on stderr what is being done, while the block runs.

    Args:
        text: what is done, such as "loading TensorFlow".
        plain: print it as a line of its own if stderr is not a terminal, for what takes long; else it is not shown.
    """
    columns = width(sys.stderr)
    if columns is None:
        if plain:
            click.echo(f"{text} ...", err=True)
        yield
        return
    _shown.append(f"{text} ..."[: max(1, columns - 1)])
    print(_shown[-1], end="\r", file=sys.stderr, flush=True)
    try:
        yield
    finally:
        _clear()
        _shown.pop()


def _clear() -> None:
    """Take the status off the screen."""
    if _shown:
        print(" " * len(_shown[-1]), end="\r", file=sys.stderr, flush=True)


def tell_which(model: str | None, path: Path) -> None:
    """Print which model was used if the user named none; called after the work, so that an error stays one line."""
    if model is None:
        tell(f"model: {path}")


def log_to_stderr() -> None:
    """Print the library's log messages to stderr, each once: a sweep loads the same data for each of its runs."""
    import logging  # takes 8 ms, and `kvae sample` does not need it

    told: set[str] = set()

    class Once(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            message = self.format(record)
            if message not in told:
                told.add(message)
                tell(message)

    logger = logging.getLogger("kvae")
    for handler in [handler for handler in logger.handlers if handler.get_name() == __name__]:
        logger.removeHandler(handler)  # from an earlier command of this process
    handler = Once()
    handler.set_name(__name__)
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False


def parity_text(parity: dict[str, float]) -> str:
    """The largest difference between onnxruntime and Keras in each output, as text for people."""
    return "worst error " + ", ".join(f"{name} {error:.1e}" for name, error in parity.items())
