"""Trains a run for more epochs than it was made for; a finished run keeps its old result until the new one is complete.

A finished run is trained longer in a folder within its own, `longer`, which is a run itself: it begins with a copy of
the last checkpoint, goes on like any other, and in the end its files take the place of the old ones.
"""

import logging
import os
import shlex
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from kvae.bundle.folder import is_bundle
from kvae.bundle.manifest import FILE_NAME
from kvae.config import TrainConfig
from kvae.errors import ConfigError, KvaeError
from kvae.files import claims
from kvae.files.atomic import atomic_file, atomic_folder
from kvae.runs import files as run_files
from kvae.runs import layout
from kvae.runs import report as run_report
from kvae.training import checkpoints

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """How a run goes on."""

    run: Path
    folder: Path
    """Where the training writes: the run itself, or the folder `longer` in a finished run."""
    config: TrainConfig
    """The settings from now on."""
    is_new: bool
    """Whether the number of epochs changes now."""
    begins: bool
    """Whether a finished run is now trained longer for the first time: `folder` must be made."""

    def extended(self, state: checkpoints.State) -> checkpoints.State:
        """The state to go on from: if a finished run is trained longer, its patience begins anew."""
        return replace(state, extended_at=state.epoch) if self.begins else state

    @property
    def source(self) -> Path:
        """Where the checkpoint is now."""
        return self.run if self.begins else self.folder


def plan(run: Path, epochs: int | None = None) -> Plan:
    """How a run goes on; writes nothing.

    Args:
        run: the run's folder.
        epochs: how many epochs it shall have in all; by default, as many as before.

    Raises:
        KvaeError: the folder is not a run, or is a finished run without a checkpoint; or it is finished and `epochs` is
            not more than it has made.
        ConfigError: a stopped run has made more epochs than `epochs` already, or its other settings need more.
    """
    folder = run / layout.LONGER
    went_on = (folder / layout.CONFIG).is_file()
    config = run_files.read_config(folder if went_on else run)
    finished = run_files.is_finished(run)
    if went_on:
        if epochs is not None and run_files.is_finished(folder):
            raise KvaeError(
                f"{run} was trained to epoch {config.epochs}, but stopped while its files were put in place: run kvae "
                f"train --resume {shlex.quote(str(run))} first."
            )
    elif epochs is None:
        if finished:
            raise KvaeError(
                f"{run} is finished: there is nothing left to do. --epochs with a number above {config.epochs} trains "
                f"it longer."
            )
        return Plan(run, run, config, False, False)
    elif finished and not (run / layout.CHECKPOINT).is_file():
        raise KvaeError(
            f"{run} has no {layout.CHECKPOINT}, from which a training could go on. kvae train --init-from "
            f"{shlex.quote(str(run))} starts a new run with its weights."
        )
    begins = finished and not went_on
    source = folder if went_on else run
    if epochs is None or epochs == config.epochs and not begins:
        return Plan(run, source, config, False, False)
    changed = replace(config, epochs=epochs)
    state = checkpoints.read_state(source)
    if epochs < state.epoch + bool(state.step) or begins and epochs == state.epoch:
        part = " and a part of the next" if state.step else ""
        raise ConfigError(f"epochs must be more than {run} has made already, {state.epoch}{part}; got {epochs}.")
    return Plan(run, folder if begins else source, changed, True, begins)


def begin(plan: Plan) -> None:
    """Write what a plan changes, before training goes on; the caller has locked the run."""
    if plan.begins:
        _remove_begun(plan.folder)
        checkpoints.copy(plan.run, plan.folder, plan.extended(checkpoints.read_state(plan.run)))
        for name in (layout.MODEL, layout.SKIPPED):
            _copy(plan.run / name, plan.folder / name)
    if plan.is_new:
        run_files.write_json(plan.folder / layout.CONFIG, plan.config.to_dict())  # last: it is a run from here on


def _remove_begun(folder: Path) -> None:
    """Remove what a process that was killed in `begin` has left; KvaeError if the folder holds anything else."""
    if not os.path.lexists(folder):
        return
    foreign = _foreign(folder)
    if foreign is not None:
        raise KvaeError(
            f"{foreign} was not written by kvae, which needs {folder} to train a finished run longer. Move it away."
        )
    shutil.rmtree(folder)


def _foreign(folder: Path) -> Path | None:
    """Something at a path that `begin` has not written there; None if there is no such thing."""
    if not folder.is_dir() or folder.is_symlink():
        return folder
    known = {folder / name for name in (layout.CHECKPOINT, layout.MODEL, layout.SKIPPED)}
    for path in sorted(folder.rglob("*")):
        is_temporary = claims.TOKEN.fullmatch(path.name) or path.name.endswith(claims.SUFFIX)
        is_ours = path == (folder / layout.CHECKPOINT).parent if path.is_dir() else path in known or is_temporary
        if path.is_symlink() or not is_ours:
            return path
    return None


def announce(plan: Plan, epochs_before: int, state: checkpoints.State, learning_rate: float) -> None:
    """Say which schedule a training follows if it goes on to another number of epochs."""
    if plan.is_new:
        epochs = plan.config.epochs
        logger.warning(
            "%s continues after epoch %d, to epoch %d instead of %d, under its old schedules stretched to %d epochs: "
            "the learning rate is now %.3g. The result is not that of %d epochs at once.",
            plan.run, state.epoch, epochs, epochs_before, epochs, learning_rate, epochs,
        )  # fmt: skip


def put_in_place(plan: Plan) -> None:
    """Replace a run's files by those of its finished longer training; it can be repeated if it was interrupted.

    Each file, and the bundle, is old or new at any moment. `metrics.json` is removed first and comes last: without it
    the run does not count as finished, and resuming it puts the rest in place.
    """
    if plan.folder == plan.run:
        return
    (plan.run / layout.METRICS).unlink(missing_ok=True)
    with atomic_folder(plan.run / layout.BUNDLE, is_bundle, "a bundle", last=FILE_NAME, durable=True) as temporary:
        shutil.copytree(plan.folder / layout.BUNDLE, temporary, dirs_exist_ok=True)
    found = [path.relative_to(plan.folder) for path in sorted(plan.folder.rglob("*")) if path.is_file()]
    skipped = {layout.METRICS, layout.REPORT}
    for path in found:
        if path.parts[0] != layout.BUNDLE and str(path) not in skipped and not path.name.startswith("."):
            _copy(plan.folder / path, plan.run / path)
    run_report.write(plan.run)
    _copy(plan.folder / layout.METRICS, plan.run / layout.METRICS)
    shutil.rmtree(plan.folder)


def _copy(source: Path, target: Path) -> None:
    if source.is_file():
        with atomic_file(target, durable=True) as temporary:
            shutil.copyfile(source, temporary)
