"""The progress of training on stderr: a bar in a terminal, a line per epoch anywhere else."""

import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import keras
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Column
from rich.text import Text

COMPILING = "compiling the training step, once"
FINISHING = "evaluating and exporting the best model"
MIN_BAR = 8
"""The fewest characters of the bar itself."""


class TrainingProgress(keras.callbacks.Callback):
    """Shows images/s, ELBO, rate and distortion (nats per image, running means of the epoch), and the time left.

    The bar takes one line however narrow the terminal is, and a line of an epoch is never broken within a word.

    Args:
        batch_size: images per optimiser step; one Keras step may make many optimiser steps.
        epochs: total epochs of the run, if `fit` makes only part of it; by default those of `fit`.
        lines: whether to leave a line for each epoch; if not, only a terminal's bar is shown.
        note: a line to begin with.
        before: called once, before anything is shown.
    """

    def __init__(
        self,
        batch_size: int,
        lines: bool = True,
        epochs: int | None = None,
        note: str | None = None,
        before: Callable[[], None] | None = None,
    ) -> None:
        super().__init__()
        self._lines = lines
        self._batch_size = batch_size
        self._epochs = epochs
        self._note = note
        self._before = before
        # FORCE_COLOR would make rich write control codes into a file.
        self._console = Console(stderr=True, highlight=False, force_terminal=None if sys.stderr.isatty() else False)
        self._bar = Progress(
            TextColumn("{task.description}", table_column=Column(no_wrap=True, overflow="crop")),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[figures]}", table_column=Column(no_wrap=True, overflow="crop")),
            console=self._console,
            transient=True,
            expand=True,
            disable=not self._console.is_terminal,
        )
        self._status = self._console.status(FINISHING)
        self._measured: keras.Model | None = None
        self._calls = 0
        """Keras steps made since the first of this process, whose time is mostly that of compiling."""

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._status.stop()
        if self._before:
            self._before()
            self._before = None
        if self._note:
            self._console.print(self._note, soft_wrap=not self._console.is_terminal)
            self._note = None
        if self.model is not self._measured:
            self._calls, self._measured = 0, self.model
        if not self._calls:
            self._say(COMPILING)
        for task in self._bar.task_ids:  # from an earlier `fit`
            self._bar.remove_task(task)
        self._task = self._bar.add_task(COMPILING[: self._console.width - MIN_BAR], figures="", total=None)
        self._bar.start()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch = epoch
        self._name = f"epoch {epoch + 1}/{self._total_epochs}"
        self._started = time.perf_counter()
        self._steps_before = int(self.model.optimizer.iterations.numpy())
        if self._calls:
            self._bar.reset(self._task, description=self._name, total=self.params["steps"])

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self._calls += 1
        if self._calls == 1:
            self._compiled = time.perf_counter()
            self._bar.reset(self._task, description=self._name, total=self.params["steps"])
        if not self._bar.disable:
            self._bar.update(self._task, completed=batch + 1, figures=self._figures(logs or {}, batch))

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._speed = self._images_per_second()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if not self._lines:
            return
        logs = logs or {}
        names = [name for name in ("elbo", "rate", "distortion", "val_elbo") if name in logs]
        parts = [self._name, f"{self._speed:,.0f} images/s", *(f"{name} {logs[name]:.2f}" for name in names)]
        if left := self._left(self.params["steps"]):
            parts.append(left)
        width = self._console.width if self._console.is_terminal else None
        self._console.print(Text(_epoch_line(parts, width)), soft_wrap=True)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self._bar.stop()
        is_last = self._epoch + 1 >= self._total_epochs or self.model.stop_training
        if self._console.is_terminal:
            self._status.start()
        elif is_last:  # else only the rest of an epoch was made
            self._say(FINISHING)

    def close(self) -> None:
        """Remove the bar from the screen, even if training was interrupted."""
        self._bar.stop()
        self._status.stop()

    def _say(self, phase: str) -> None:
        """Name a phase in a line, where no bar or status does."""
        if self._lines and not self._console.is_terminal:
            self._console.print(f"{phase} ...", soft_wrap=True)

    @property
    def _total_epochs(self) -> int:
        return int(self._epochs or self.params["epochs"])

    def _images_per_second(self) -> float:
        steps = int(self.model.optimizer.iterations.numpy()) - self._steps_before
        return steps * self._batch_size / max(time.perf_counter() - self._started, 1e-9)

    def _left(self, calls_of_epoch: int) -> str:
        """How long the rest of the training will take, as far as can be told; empty at its beginning and end."""
        calls = self.params["steps"]
        left = (self._total_epochs - self._epoch) * calls - calls_of_epoch
        if self._calls < 2 or left <= 0:
            return ""
        seconds = (time.perf_counter() - self._compiled) / (self._calls - 1) * left
        return f"{clock(seconds)} left"

    def _figures(self, logs: dict[str, Any], batch: int) -> str:
        """As many figures as fit beside the bar, the most important first."""
        room = self._console.width - len(self._name) - MIN_BAR - 2
        found = {name: f"{name} {float(logs[name]):.1f}" for name in ("elbo", "rate", "distortion") if name in logs}
        speed = f"{self._images_per_second():,.0f} images/s"
        wanted = [self._left(batch + 1), *found.values()]
        wanted.insert(2, speed)
        shown: list[str] = []
        for part in filter(None, wanted):
            if len("  ".join([*shown, part])) > room:
                break
            shown.append(part)
        return "  ".join(part for part in (speed, *found.values(), wanted[0]) if part in shown)


def clock(seconds: float) -> str:
    """A time as 0:42, 12:05 or 3:04:05."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


def _epoch_line(parts: Sequence[str], width: int | None) -> str:
    """The parts of an epoch's line; if it is too long, without speed and time, and broken only between the others."""
    line = "  ".join(parts)
    if width is None or len(line) <= width:
        return line
    parts = [part for part in parts if not part.endswith(("images/s", "left"))]
    lines = [parts[0]]
    for part in parts[1:]:
        if len(lines[-1]) + 2 + len(part) <= width:
            lines[-1] += f"  {part}"
        else:
            lines.append(f"  {part}")
    return "\n".join(lines)
