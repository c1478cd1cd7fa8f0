"""Steps not applied because the loss or a gradient was not finite: records them, and stops training after too many."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras

from kvae.errors import KvaeError
from kvae.files.atomic import atomic_file
from kvae.runs import files as run_files
from kvae.runs.layout import SKIPPED
from kvae.steps import schedules

CAUSES = (
    "Likely causes: the learning rate is too high ({rate:.3g}; try a tenth of it, or a warm-up), the images are not "
    "numbers in [0, 1], or the likelihood's learned scale went to 0 (because some pixels are constant)."
)


class SkippedSteps(keras.callbacks.Callback):
    """Writes a line of JSON for each skipped step of a `kvae.model.vae.VAE`, and stops the training after too many.

    A line has `step` (its number from the start of training), `seed` (of the posterior's draws), and what `describe`
    returns about the step's batch: enough to repeat the step.

    Args:
        folder: where `skipped.jsonl` goes.
        maximum: number of steps that may be skipped.
        describe: given a step's number, returns further entries for its line.
        writes: whether to write; if not, it only stops the training.

    Raises:
        KvaeError: during training, after more than `maximum` skipped steps.
    """

    def __init__(
        self,
        folder: Path | str,
        maximum: int = 10,
        describe: Callable[[int], dict[str, Any]] | None = None,
        writes: bool = True,
    ) -> None:
        super().__init__()
        self._path = Path(folder) / SKIPPED
        self._maximum = maximum
        self._describe = describe or (lambda step: {})
        self._writes = writes

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._count = int(self.model.skips.count.numpy())

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        count = int(self.model.skips.count.numpy())
        if count == self._count:
            return
        if self._writes:
            self._write()
        self._count = count
        if count > self._maximum:
            raise KvaeError(
                f"training stopped: {count} steps had a loss or a gradient that is not finite (max_skipped_steps: "
                f"{self._maximum}). They were not applied, and are listed in {self._path}; the last checkpoint, if "
                f"any, is kept. Resuming would skip the same steps again: train again with other settings. "
                + CAUSES.format(rate=schedules.peak(self.model.optimizer))
            )

    def _write(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:
            for step, seed in self.model.skips.since(self._count):
                file.write(json.dumps({"step": step, "seed": seed, **self._describe(step)}) + "\n")
            file.flush()
            os.fsync(file.fileno())


def forget_after(folder: Path, step: int) -> None:
    """Drop the lines of steps from number `step` on, which will be made again, and any invalid lines."""
    path = folder / SKIPPED
    if not path.exists():
        return
    lines = run_files.read_json_lines(path)
    kept = [line for line in lines if isinstance(line.get("step"), int) and line["step"] < step]
    with atomic_file(path) as temporary:
        temporary.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")
