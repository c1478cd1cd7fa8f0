"""Reads the small files of a run's folder, without TensorFlow, whatever state the run is in."""

import csv
import json
import math
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from kvae.bundle.manifest import FILE_NAME
from kvae.config import TrainConfig
from kvae.errors import ConfigError, KvaeError
from kvae.files import json_text, locks, regular
from kvae.files.atomic import atomic_file
from kvae.files.text import printable
from kvae.numbers import is_finite
from kvae.runs.layout import BUNDLE, CHECKPOINT, CONFIG, DATASET, HISTORY, METRICS

MAX_BYTES = 50_000_000
"""A file larger than this is not read: no run writes such a file."""


@dataclass(frozen=True)
class RunFiles:
    """A run as its folder describes it."""

    path: Path
    config: TrainConfig
    history: dict[str, list[float]]
    """By name, one number per finished epoch, as in `history.csv`; empty before the first."""
    metrics: dict[str, dict[str, float]] | None
    """Test metrics, each `{value, standard_error}`; None if the run is not finished."""
    is_training: bool
    """Whether a process is training there now."""
    has_checkpoint: bool
    dataset_sha256: str | None
    """The hash of the data set that it trains on; None if the run does not say."""
    written: datetime
    """When the run was finished, or else its last epoch, or else when it began; in local time."""

    @classmethod
    def read(cls, path: Path) -> "RunFiles":
        """Read a run's folder.

        Raises:
            KvaeError: it has no config, or one of its files is unreadable or invalid.
        """
        values = read_json(path / CONFIG)
        if values is None:
            raise KvaeError(f"{path} is not a run: it has no {CONFIG}.")
        try:
            config = TrainConfig.from_dict(values)
        except ConfigError as error:
            raise KvaeError(f"{path / CONFIG}: {printable(error, 500)}") from None
        metrics = read_json(path / METRICS)
        if metrics is not None and not _are_metrics(metrics):
            raise KvaeError(f"{path / METRICS} holds no test metrics.")
        return cls(
            path=path,
            config=config,
            history=read_history(path / HISTORY),
            metrics=metrics,
            is_training=locks.is_held(path),
            has_checkpoint=(path / CHECKPOINT).is_file(),
            dataset_sha256=_sha256(path),
            written=_last_written(path),
        )

    @property
    def num_epochs(self) -> int:
        """Number of finished epochs."""
        return len(next(iter(self.history.values()), []))

    @property
    def state(self) -> str:
        """ "training" now, "finished", or "stopped": by Ctrl-C, an error, or the machine."""
        return "training" if self.is_training else "finished" if self.metrics is not None else "stopped"

    @property
    def best_epoch(self) -> int | None:
        """The number, from 1, of the epoch with the lowest validation loss, whose model was kept."""
        losses = self.history.get("val_loss", [])
        known = [epoch for epoch, loss in enumerate(losses) if math.isfinite(loss)]
        return min(known, key=losses.__getitem__) + 1 if known else None


def is_finished(run: Path) -> bool:
    """Whether a folder holds a finished run."""
    return all((run / part).is_file() for part in (CONFIG, METRICS, HISTORY, f"{BUNDLE}/{FILE_NAME}"))


def read_json(path: Path) -> Any:
    """The contents of a JSON file; None if there is no file.

    Raises:
        KvaeError: it cannot be read, or is not JSON.
    """
    text = _text(path)
    if text is None:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise KvaeError(f"{path} is not valid JSON: {error}.") from None


def read_object(path: Path) -> dict[str, Any]:
    """The object in a run's JSON file.

    Raises:
        KvaeError: there is no such file, or it does not hold an object.
    """
    values = read_json(path)
    if values is None:
        raise KvaeError(f"{path.parent} is not a finished run: it has no {path.name}.")
    if not isinstance(values, dict):
        raise KvaeError(f"{path} was not written by kvae train.")
    return values


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Write indented JSON, null for numbers that are not finite; the file appears complete or not at all."""
    with atomic_file(path, durable=True) as temporary:
        temporary.write_text(json_text.dumps(values, indent=2) + "\n", encoding="utf-8")


def read_config(run: Path) -> TrainConfig:
    """The settings of a run.

    Raises:
        KvaeError: the folder has none, or they cannot be read.
    """
    if not (run / CONFIG).is_file():
        raise KvaeError(f"{run} is not a run: it has no {CONFIG}. kvae runs lists the runs in a folder.")
    return TrainConfig.from_dict(read_object(run / CONFIG))


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a file with one per line; an empty list if there is no file. The last line may be cut off.

    Raises:
        KvaeError: it cannot be read.
    """
    found = []
    for line in (_text(path) or "").splitlines():
        try:
            values = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(values, dict):
            found.append(values)
    return found


def read_history(path: Path) -> dict[str, list[float]]:
    """The columns of a history, without `epoch`; a last line that was cut off is left out.

    Raises:
        KvaeError: it cannot be read, or another line than the last is not a row of numbers.
    """
    lines = (_text(path) or "").replace("\0", "").splitlines()
    reader = csv.reader(lines)
    names: list[str] = []
    columns: list[list[float]] = []
    try:
        names = next(reader, [])
        for row in reader:
            values = _numbers(row)
            if values is not None and len(values) == len(names):
                columns.append(values)
            elif row and reader.line_num < len(lines):
                got = printable(",".join(row), 60)
                raise KvaeError(f"{path}, line {reader.line_num}: expected {len(names)} numbers; got {got}.")
    except csv.Error as error:
        raise KvaeError(f"{path}, line {reader.line_num}: {error}; expected {len(names) or 'a few'} fields.") from None
    history = {name: [row[index] for row in columns] for index, name in enumerate(names)}
    history.pop("epoch", None)
    return history


def _numbers(row: list[str]) -> list[float] | None:
    try:
        return [float(value) for value in row]
    except ValueError:
        return None


def _text(path: Path) -> str | None:
    try:
        regular.check(path)
        if path.stat().st_size > MAX_BYTES:
            raise KvaeError(f"{path} has more than {MAX_BYTES:,} bytes.")
        return path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise KvaeError(f"cannot read {path}: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise KvaeError(f"{path} is not UTF-8 text.") from None


def _are_metrics(values: Any) -> bool:
    return isinstance(values, dict) and "elbo" in values and all(map(_is_metric, values.values()))


def _is_metric(value: Any) -> bool:
    return isinstance(value, dict) and all(is_finite(value.get(name)) for name in ("value", "standard_error"))


def _sha256(path: Path) -> str | None:
    found = read_json(path / DATASET)
    sha256 = found.get("sha256") if isinstance(found, dict) else None
    return sha256 if isinstance(sha256, str) else None


def _last_written(path: Path) -> datetime:
    times = [(path / name).stat().st_mtime for name in (METRICS, HISTORY, CONFIG) if (path / name).is_file()]
    try:
        return datetime.fromtimestamp(times[0] if times else 0.0).astimezone()
    except (ValueError, OverflowError, OSError):  # a file system may hold times that no calendar does
        return datetime.fromtimestamp(0.0).astimezone()
