"""The progress of training on stderr: a bar in a terminal, a line per epoch anywhere else."""

import time
from typing import Any

import keras
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn


class TrainingProgress(keras.callbacks.Callback):
    """Shows images/s, ELBO, rate and distortion (nats per image, running means of the epoch).

    Args:
        batch_size: images per optimiser step; one Keras step may make many optimiser steps.
        epochs: total epochs of the run, if `fit` makes only part of it; by default those of `fit`.
        lines: whether to leave a line for each epoch; if not, only a terminal's bar is shown.
    """

    def __init__(self, batch_size: int, lines: bool = True, epochs: int | None = None) -> None:
        super().__init__()
        self._lines = lines
        self._batch_size = batch_size
        self._epochs = epochs
        self._console = Console(stderr=True, highlight=False)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[figures]}"),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        for task in self._bar.task_ids:  # from an earlier `fit`
            self._bar.remove_task(task)
        self._task = self._bar.add_task("compiling", figures="", total=self.params["steps"])
        self._bar.start()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._name = f"epoch {epoch + 1}/{self._epochs or self.params['epochs']}"
        self._started = time.perf_counter()
        self._steps_before = int(self.model.optimizer.iterations.numpy())
        self._bar.reset(self._task, description=self._name, total=self.params["steps"])

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if not self._bar.disable:
            self._bar.update(self._task, completed=batch + 1, figures=self._figures(logs or {}))

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._speed = self._images_per_second()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if not self._lines:
            return
        logs = logs or {}
        line = f"{self._name}  {self._speed:,.0f} images/s  " + "  ".join(
            f"{name} {logs[name]:.2f}" for name in ("elbo", "rate", "distortion", "val_elbo") if name in logs
        )
        self._console.print(line, soft_wrap=True)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self.close()

    def close(self) -> None:
        """Remove the bar from the screen, even if training was interrupted."""
        self._bar.stop()

    def _images_per_second(self) -> float:
        steps = int(self.model.optimizer.iterations.numpy()) - self._steps_before
        return steps * self._batch_size / max(time.perf_counter() - self._started, 1e-9)

    def _figures(self, logs: dict[str, Any]) -> str:
        figures = " ".join(f"{name} {float(logs[name]):.1f}" for name in ("elbo", "rate", "distortion"))
        return f"{self._images_per_second():,.0f} images/s {figures}"
