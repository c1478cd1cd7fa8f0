"""Checkpoints: all that a training needs to go on as if it had never stopped, in one file that is replaced whole.

checkpoints/last.keras is an ordinary Keras model with its optimizer; beside Keras's own members the archive holds
`kvae.json`, the `State`. Where a process is killed, at whatever moment, the last checkpoint is there.
"""

import csv
import json
import math
import shutil
import time
import zipfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import keras

from kvae.errors import KvaeError
from kvae.files.atomic import atomic_file
from kvae.files.text import printable
from kvae.model.vae import VAE
from kvae.runs.layout import CHECKPOINT as LAST
from kvae.runs.layout import HISTORY
from kvae.runs.layout import MODEL as BEST
from kvae.training.interrupts import Interrupt, Interrupted

STATE = "kvae.json"
"""The member of the archive that holds the `State`."""
SECONDS = 300.0
"""Time between two checkpoints within an epoch."""


@dataclass(frozen=True)
class State:
    """How far a training is."""

    epoch: int = 0
    """Whole epochs that are done."""
    step: int = 0
    """Steps made in the epoch after them."""
    history: dict[str, list[float]] = field(default_factory=dict)
    """By name a number for each whole epoch, as `fit` returns them."""
    means: dict[str, list[float]] = field(default_factory=dict)
    """By metric the values of its variables in the midst of an epoch."""
    skipped_steps: int = 0

    @property
    def monitored(self) -> list[float]:
        """What models are chosen by: the validation loss of each epoch, or where there is none the training loss."""
        return self.history.get("val_loss") or self.history.get("loss") or []

    @property
    def best_epoch(self) -> int | None:
        """The index of the epoch with the lowest monitored loss."""
        finite = [index for index, loss in enumerate(self.monitored) if math.isfinite(loss)]
        return min(finite, key=self.monitored.__getitem__, default=None)

    def has_stalled(self, patience: int | None) -> bool:
        """Whether the last `patience` epochs were no better than the best before them."""
        best = self.best_epoch
        return patience is not None and best is not None and self.epoch - 1 - best >= patience


class Checkpoints(keras.callbacks.Callback):
    """Saves a checkpoint after each epoch, and every few minutes; keeps the best model, and the history as CSV.

    The best is that with the lowest validation loss: the highest validation ELBO, unless `beta` or `entropy_weight`
    make the loss another thing, which then is what the model is trained for. An epoch whose loss is not finite ends
    the training; its weights are not saved.

    Args:
        folder: where `checkpoints/last.keras`, `model.keras` (the best) and `history.csv` go.
        state: what `restore` gave, for a training that goes on.
        patience: epochs without a better loss after which training stops; None, the default, for no such stop.
        interrupt: asks for an end after the step that is being made; see `kvae.training.interrupts`.
        writes: whether it writes; without, it stops the training at the moments at which another process stops, which
            trains the same model and writes.

    Raises:
        KvaeError: in training, where the folder cannot be written to, or the loss is not finite.
        Interrupted: in training, where `interrupt` asked for it; what was done is saved.
    """

    def __init__(
        self,
        folder: Path | str,
        state: State | None = None,
        patience: int | None = None,
        interrupt: Interrupt | None = None,
        writes: bool = True,
    ) -> None:
        super().__init__()
        self._folder = Path(folder)
        self.state = state or State()
        self._patience = patience
        self._interrupt = interrupt or Interrupt()
        self._writes = writes

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        if not isinstance(self.model, VAE):
            raise KvaeError(f"Checkpoints are of a kvae.model.vae.VAE; got {type(self.model).__name__}.")
        self._saved = time.monotonic()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._first_step = int(self.model.made_steps.numpy()) - self.state.step
        for metric in self.model.metrics:
            for variable, value in zip(metric.variables, self.state.means.get(metric.name, ()), strict=False):
                variable.assign(value)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if not self._interrupt.asked and time.monotonic() - self._saved < SECONDS:
            return
        if batch + 1 == self.params["steps"]:  # the epoch is about to end, which saves
            return
        self.state = State(
            epoch=self.state.epoch,
            step=int(self.model.made_steps.numpy()) - self._first_step,
            history=self.state.history,
            means={metric.name: [float(value.numpy()) for value in metric.variables] for metric in self.model.metrics},
            skipped_steps=int(self.model.skips.count.numpy()),
        )
        self._save()
        self._end_if_asked()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        logs, known = logs or {}, self.state.history
        history = {  # NaN where an epoch was not validated, or was made elsewhere
            name: [*(known.get(name, []) + [math.nan] * epoch)[:epoch], float(logs.get(name, math.nan))]
            for name in known | logs
        }
        state = State(epoch=epoch + 1, history=history, skipped_steps=int(self.model.skips.count.numpy()))
        loss = float(logs.get("val_loss", logs.get("loss", 0.0)))
        if not math.isfinite(loss):
            raise KvaeError(
                f"training diverged: the loss of epoch {epoch + 1} is {loss}. Train anew with a lower learning rate; "
                f"what was good until then, if any, is in {self._folder}."
            )
        self.state = state
        self._save()
        if state.best_epoch == epoch:
            self.keep_best()
        self.write_history()
        if state.has_stalled(self._patience):
            self.model.stop_training = True
        self._end_if_asked()

    def keep_best(self) -> None:
        """Make the last checkpoint the best model, too."""
        if not self._writes:
            return
        with atomic_file(self._folder / BEST, durable=True) as path:
            shutil.copyfile(self._folder / LAST, path)

    def write_history(self) -> None:
        """Write the history anew, a row per epoch."""
        if not self._writes:
            return
        history = self.state.history
        with atomic_file(self._folder / HISTORY) as path, path.open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(["epoch", *sorted(history)])
            rows.writerows(
                [epoch, *(history[name][epoch] for name in sorted(history))] for epoch in range(self.state.epoch)
            )

    def _save(self) -> None:
        if not self._writes:
            return
        with atomic_file(self._folder / LAST, durable=True) as path:
            try:
                self.model.save(path)
                with zipfile.ZipFile(path, "a") as archive:
                    archive.writestr(STATE, json.dumps(asdict(self.state)))
            except (OSError, ValueError) as error:  # h5py has no errno for a full disk
                if isinstance(error, OSError) and error.errno:
                    raise
                raise KvaeError(f"cannot write {self._folder / LAST}: {printable(error)}") from None
        self._saved = time.monotonic()

    def _end_if_asked(self) -> None:
        if self._interrupt.asked:
            raise Interrupted


def restore(vae: keras.Model, folder: Path | str) -> State:
    """Give a compiled VAE the weights, the optimizer's state and the seed of the last checkpoint.

    Args:
        vae: a `kvae.model.vae.VAE` of the same networks and optimizer.
        folder: that of `Checkpoints`.

    Returns:
        How far the training was; `State()` where there is no checkpoint yet. In a `fit` of your own begin with the
        epoch `state.epoch`; where an epoch takes minutes `state.step` steps of it may be made already, which
        `kvae.training.fitting.fit` goes on after, and which `kvae.steps.batches.steps(..., start=...)` leaves out.

    Raises:
        KvaeError: the checkpoint cannot be read, or is one of another model.
    """
    path = Path(folder) / LAST
    if not path.exists():
        return State()
    with vae.distribute_strategy.scope():
        vae.optimizer.build(vae.trainable_variables)
    try:
        with zipfile.ZipFile(path) as archive:
            state = State(**json.loads(archive.read(STATE)))
        vae.load_weights(path)
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        best = f"; {BEST} holds the best model so far" if (Path(folder) / BEST).exists() else ""
        raise KvaeError(
            f"cannot go on from {path}: {printable(error)}. Bring the file back, or train anew{best}."
        ) from None
    vae.skips.count.assign(state.skipped_steps)
    return state
