"""Checkpoints: all that training needs to resume as if it had never stopped, in one file that is replaced as a whole.

checkpoints/last.keras is an ordinary Keras model with its optimizer (if the weights are averaged, its weights are the
averages, and the optimizer has the others); beside Keras's own members the archive holds `kvae.json`, the `State`.
Whenever the process is killed, the last checkpoint is intact.
"""

import csv
import json
import math
import shutil
import time
import zipfile
import zlib
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
from kvae.steps import schedules
from kvae.training import averaging
from kvae.training.interrupts import Interrupt, Interrupted

STATE = "kvae.json"
"""The member of the archive that holds the `State`."""
SECONDS = 300.0
"""Time between two checkpoints within an epoch."""
DAMAGED = (
    OSError, ValueError, LookupError, TypeError, AttributeError, EOFError, RuntimeError, OverflowError,
    zipfile.BadZipFile, zlib.error,
)  # fmt: skip
"""What zip, JSON, HDF5 and Keras raise for a damaged file."""


@dataclass(frozen=True)
class State:
    """How far training has got."""

    epoch: int = 0
    """Number of finished epochs."""
    step: int = 0
    """Steps made in the next epoch, which is unfinished."""
    history: dict[str, list[float]] = field(default_factory=dict)
    """By name, one number for each finished epoch, as `fit` returns them."""
    means: dict[str, list[float]] = field(default_factory=dict)
    """By metric, the values of its variables in the middle of an epoch."""
    skipped_steps: int = 0
    extended_at: int = 0
    """The number of epochs that a finished run had when it was last trained longer; 0 if it never was."""

    @classmethod
    def from_dict(cls, values: Any) -> "State":
        """The state that `asdict` described.

        Raises:
            ValueError: the values are not such a description.
            TypeError: there is an unknown field.
        """
        if not isinstance(values, dict):
            raise ValueError(f"{STATE} holds a {type(values).__name__}; expected an object")
        state = cls(**values)
        for name in ("epoch", "step", "skipped_steps", "extended_at"):
            if type(number := getattr(state, name)) is not int or not 0 <= number < 2**63:
                raise ValueError(f"{name} in {STATE} must be an integer from 0 to 2^63 - 1; got {number!r}")
        for name in ("history", "means"):
            columns = getattr(state, name)
            if not isinstance(columns, dict) or not all(map(_are_numbers, columns.values())):
                raise ValueError(f"{name} in {STATE} must hold a list of numbers for each name")
        if any(len(column) != state.epoch for column in state.history.values()):
            raise ValueError(f"history in {STATE} must hold a number for each of its {state.epoch} epochs")
        return state

    @property
    def monitored(self) -> list[float]:
        """The loss that selects the best model: each epoch's validation loss, or its training loss if it has none."""
        return self.history.get("val_loss") or self.history.get("loss") or []

    @property
    def best_epoch(self) -> int | None:
        """The index of the epoch with the lowest monitored loss."""
        finite = [index for index, loss in enumerate(self.monitored) if math.isfinite(loss)]
        return min(finite, key=self.monitored.__getitem__, default=None)

    def has_stalled(self, patience: int | None) -> bool:
        """Whether the last `patience` epochs were no better than the best before them; anew if trained longer."""
        best = self.best_epoch
        if patience is None or best is None:
            return False
        return self.epoch - 1 - max(best, self.extended_at - 1) >= patience


class Checkpoints(keras.callbacks.Callback):
    """Saves a checkpoint after each epoch, and every few minutes; keeps the best model, and the history as CSV.

    The best model is the one with the lowest validation loss. That is also the highest validation ELBO, unless `beta`
    or `entropy_weight` changes the loss. An epoch whose loss is not finite ends the training; its weights are not
    saved.

    Args:
        folder: where `checkpoints/last.keras`, `model.keras` (the best) and `history.csv` go.
        state: what `restore` returned, if training resumes.
        patience: epochs without a better loss after which training stops; None, the default, for no early stop.
        interrupt: asks training to end after the current step; see `kvae.training.interrupts`.
        writes: whether to write; if not, it only stops the training when the process that trains the same model and
            writes stops it.

    Raises:
        KvaeError: during training, if the folder cannot be written to, or the loss is not finite.
        Interrupted: during training, if `interrupt` asked for it; progress is saved.
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
            raise KvaeError(f"Checkpoints works only with a kvae.model.vae.VAE; got a {type(self.model).__name__}.")
        self._saved = time.monotonic()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._first_step = int(self.model.made_steps.numpy()) - self.state.step
        for metric in self.model.metrics:
            for variable, value in zip(metric.variables, self.state.means.get(metric.name, ()), strict=False):
                variable.assign(value)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if not self._interrupt.asked and time.monotonic() - self._saved < SECONDS:
            return
        if batch + 1 == self.params["steps"]:  # the epoch is about to end, and on_epoch_end saves
            return
        self.state = State(
            epoch=self.state.epoch,
            step=int(self.model.made_steps.numpy()) - self._first_step,
            history=self.state.history,
            means={metric.name: [float(value.numpy()) for value in metric.variables] for metric in self.model.metrics},
            skipped_steps=int(self.model.skips.count.numpy()),
            extended_at=self.state.extended_at,
        )
        self._save()
        self._end_if_asked()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        logs, known = logs or {}, self.state.history
        history = {  # NaN if an epoch was not validated, or was trained by another process
            name: [*(known.get(name, []) + [math.nan] * epoch)[:epoch], float(logs.get(name, math.nan))]
            for name in known | logs
        }
        state = State(
            epoch=epoch + 1,
            history=history,
            skipped_steps=int(self.model.skips.count.numpy()),
            extended_at=self.state.extended_at,
        )
        loss = float(logs.get("val_loss", logs.get("loss", 0.0)))
        if not math.isfinite(loss):
            raise KvaeError(
                f"training diverged: the loss of epoch {epoch + 1} is {loss}. Train again with a lower learning rate "
                f"than {schedules.peak(self.model.optimizer):.3g}; the last good checkpoint, if any, is in "
                f"{self._folder}."
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
        """Save the last checkpoint as the best model too."""
        if not self._writes:
            return
        with atomic_file(self._folder / BEST, durable=True) as path:
            shutil.copyfile(self._folder / LAST, path)

    def write_history(self) -> None:
        """Rewrite the history, one row per epoch."""
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
        save(self.model, self._folder, self.state)
        self._saved = time.monotonic()

    def _end_if_asked(self) -> None:
        if self._interrupt.asked:
            raise Interrupted


def save(vae: keras.Model, folder: Path, state: State) -> None:
    """Write a model's checkpoint into a folder.

    Raises:
        KvaeError: the folder cannot be written to.
    """
    with atomic_file(folder / LAST, durable=True) as path:
        try:
            with averaging.averaged(vae):
                vae.save(path)
            with zipfile.ZipFile(path, "a") as archive:
                archive.writestr(STATE, json.dumps(asdict(state)))
        except (OSError, ValueError) as error:  # h5py has no errno for a full disk
            if isinstance(error, OSError) and error.errno:
                raise
            raise KvaeError(f"cannot write {folder / LAST}: {printable(error)}") from None


def restore(vae: keras.Model, folder: Path | str) -> State:
    """Load the last checkpoint's weights, optimizer state and seed into a compiled VAE.

    Args:
        vae: a `kvae.model.vae.VAE` with the same networks and optimizer.
        folder: the folder of `Checkpoints`.

    Returns:
        How far training had got; `State()` if there is no checkpoint yet. In your own `fit`, begin with the epoch
        `state.epoch`. If an epoch takes minutes, `state.step` of its steps may already be done:
        `kvae.training.fitting.fit` continues after them, and `kvae.steps.batches.steps(..., start=...)` skips them.

    Raises:
        KvaeError: the checkpoint cannot be read, or belongs to another model.
    """
    path = Path(folder) / LAST
    if not path.exists():
        return State()
    with vae.distribute_strategy.scope():
        vae.optimizer.build(vae.trainable_variables)
    state = read_state(folder)
    try:
        vae.load_weights(path)
    except DAMAGED as error:
        raise _unreadable(path, error) from None
    averaging.loaded(vae)
    vae.skips.count.assign(state.skipped_steps)
    return state


def read_state(folder: Path | str) -> State:
    """How far training had got in a folder, without its weights; `State()` if it has no checkpoint.

    Raises:
        KvaeError: the checkpoint cannot be read.
    """
    path = Path(folder) / LAST
    if not path.exists():
        return State()
    try:
        with zipfile.ZipFile(path) as archive:
            return State.from_dict(json.loads(archive.read(STATE)))
    except DAMAGED as error:
        raise _unreadable(path, error) from None


def copy(folder: Path, target: Path, state: State) -> None:
    """Copy a checkpoint into another folder, with another `State` in it.

    Raises:
        KvaeError: the checkpoint cannot be read, or the folder cannot be written to.
    """
    with atomic_file(target / LAST, durable=True) as path:
        try:
            with zipfile.ZipFile(folder / LAST) as source, zipfile.ZipFile(path, "w") as archive:
                for name in source.namelist():
                    archive.writestr(name, json.dumps(asdict(state)) if name == STATE else source.read(name))
        except DAMAGED as error:
            if isinstance(error, OSError) and error.errno:  # a full disk, for example
                raise
            raise _unreadable(folder / LAST, error) from None


def _are_numbers(values: Any) -> bool:
    """Whether it is a list of numbers, among which may be NaN and infinity."""
    return isinstance(values, list) and all(isinstance(value, (int, float)) for value in values)


def _unreadable(path: Path, error: Exception) -> KvaeError:
    best = f"; {BEST} holds the best model so far" if (path.parent.parent / BEST).exists() else ""
    reason = printable(error) or type(error).__name__
    return KvaeError(f"cannot resume from {path}: {reason}. Restore the file, or train again{best}.")
