"""Lists the runs in a folder as a table: what each trains on, how far it got, and its results."""

import math
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from kvae.bundle import caveats, comparable
from kvae.errors import KvaeError
from kvae.files import locks
from kvae.files.text import printable, shortened
from kvae.runs.files import RunFiles
from kvae.runs.layout import CHECKPOINT, CONFIG, HISTORY, METRICS

TRACES = (METRICS, HISTORY, CHECKPOINT, locks.FILE)
"""Files that show that a folder without a config was meant to be a run."""
MIN_NAME, MIN_DATASET = 12, 8
"""The fewest characters that names keep in a narrow table."""
HEADER = ("run", "data set", "network", "epochs", "state", "test ELBO", "", "best val.", "when")
RIGHT = (3, 5, 7)
"""Columns that are right-aligned."""
OPTIONAL = (2, 8, 7, 1)
"""Columns that a narrow terminal does not show, the first one first: network, when, best val., data set."""


def find(folder: Path) -> tuple[list[RunFiles], list[str]]:
    """The runs in a folder, the newest first, or the folder itself if it is a run.

    Args:
        folder: where `kvae train` or `kvae compare` put runs.

    Returns:
        The runs; and a line for each folder that should be a run but cannot be read.

    Raises:
        KvaeError: there is no such folder, or it cannot be listed.
    """
    try:
        folders = [folder] if (folder / CONFIG).exists() else [path for path in folder.iterdir() if path.is_dir()]
    except FileNotFoundError:
        raise KvaeError(
            f"{folder} not found. Name the folder that holds your runs, or make one with kvae train."
        ) from None
    except OSError as error:
        raise KvaeError(f"cannot list {folder}: {error.strerror}.") from None
    runs, skipped = [], []
    for path in sorted(folders):
        try:
            if (path / CONFIG).exists() or any((path / name).exists() for name in TRACES):
                runs.append(RunFiles.read(path))
        except KvaeError as error:
            skipped.append(printable(str(error)))
        except OSError as error:
            skipped.append(printable(f"cannot read {path}: {error.strerror}."))
    return sorted(runs, key=lambda run: run.written, reverse=True), skipped


def as_json(runs: Sequence[RunFiles], skipped: Sequence[str]) -> dict[str, Any]:
    """The runs as JSON values for programs; anything that does not exist yet is null."""
    return {"runs": [_object(run) for run in runs], "skipped": list(skipped)}


def _object(run: RunFiles) -> dict[str, Any]:
    config = run.config
    return {
        "run": str(run.path),
        "dataset": config.dataset,
        "dataset_sha256": run.dataset_sha256,
        "architecture": config.model.architecture,
        "epochs_done": run.num_epochs,
        "epochs": config.num_epochs,
        "state": run.state,
        "has_checkpoint": run.has_checkpoint,
        "elbo": run.metrics["elbo"] if run.metrics else None,
        "kind": caveats.kind(str(config.model.likelihood), str(config.binarize)),
        "best_epoch": run.best_epoch,
        "best_val_elbo": _finite(_best_elbo(run)),
        "written": run.written.isoformat(timespec="seconds"),
    }


def as_text(runs: Sequence[RunFiles], width: int | None = None, now: datetime | None = None) -> str:
    """A table for people, with a line below it that says what the numbers measure.

    Args:
        runs: at least one.
        width: the most characters in a line: names are cut in the middle, times are shortened. None for no limit.
        now: the current time, to which shortened times refer; by default the clock's.
    """
    now = now or datetime.now().astimezone()
    scales = list(dict.fromkeys(map(_scale, runs)))
    marks = {scale: chr(ord("a") + index) if len(scales) > 1 else "" for index, scale in enumerate(scales)}
    rows = [HEADER, *(_row(run, marks[_scale(run)], None if width is None else now) for run in runs)]
    gap = 2
    if width is not None:
        rows, gap = _narrowed(rows, width)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            text.rjust(size) if index in RIGHT else text.ljust(size)
            for index, (text, size) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append((" " * gap).join(cell for cell, size in zip(cells, widths, strict=True) if size).rstrip())
    datasets = {scale.dataset for scale in scales}
    for scale in scales:
        of = f" of {printable(scale.dataset)}" if len(datasets) > 1 else ""
        about = caveats.about_numbers(scale.likelihood, scale.binarize)
        lines.append(f"{marks[scale]}{': ' if marks[scale] else ''}nats per image{of}, {about}")
    if len(scales) > 1:
        lines.append("Compare only numbers with the same letter.")
    return "\n".join(lines)


def _row(run: RunFiles, mark: str, now: datetime | None) -> tuple[str, ...]:
    best = _best_elbo(run)
    elbo = run.metrics["elbo"] if run.metrics else None
    return (
        printable(run.path.resolve().name),
        printable(run.config.dataset),
        run.config.model.architecture,
        f"{run.num_epochs}/{run.config.num_epochs}",
        run.state,
        f"{elbo['value']:.1f} ± {elbo['standard_error']:.1f}" if elbo else "–",
        mark,
        "–" if best is None else f"{best:.1f}",
        run.written.strftime("%Y-%m-%d %H:%M") if now is None else _short_time(run.written, now),
    )


def _narrowed(rows: list[tuple[str, ...]], width: int) -> tuple[list[tuple[str, ...]], int]:
    """The rows with names shortened to fit, and the spaces between columns: 2, or 1 if space is tight.

    The data set's name is cut first, then the run's; if that is not enough, columns of `OPTIONAL` are left out.
    """
    for count in range(len(OPTIONAL) + 1):
        dropped = OPTIONAL[:count]
        shown = [tuple("" if index in dropped else cell for index, cell in enumerate(row)) for row in rows]
        widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
        least = (min(MIN_NAME, widths[0]), min(MIN_DATASET, widths[1]))
        num_gaps = sum(map(bool, widths)) - 1
        if sum(least) + sum(widths[2:]) + num_gaps <= width:
            break
    gap = 2 if sum(least) + sum(widths[2:]) + 2 * num_gaps <= width else 1
    excess = max(0, sum(widths) + gap * num_gaps - width)
    dataset = max(least[1], widths[1] - excess)
    name = max(least[0], widths[0] - (excess - (widths[1] - dataset)))
    return [(shortened(row[0], name), shortened(row[1], dataset), *row[2:]) for row in shown], gap


def _short_time(written: datetime, now: datetime) -> str:
    """As in `ls`: the time if it was today, the day if it was this year, else the month."""
    if written.date() == now.date():
        return written.strftime("%H:%M")
    return written.strftime("%d %b" if written.year == now.year else "%b %Y")


def _scale(run: RunFiles) -> comparable.Measured:
    """What a run's numbers are, and which images they are from."""
    config = run.config
    return comparable.Measured(
        str(config.model.likelihood), str(config.binarize), config.dataset, run.dataset_sha256 or "", ()
    )


def _best_elbo(run: RunFiles) -> float | None:
    """The validation ELBO of the epoch whose model was kept."""
    elbos = run.history.get("val_elbo", [])
    return elbos[run.best_epoch - 1] if run.best_epoch and elbos else None


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
