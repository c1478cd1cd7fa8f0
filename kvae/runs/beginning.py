"""Where a new run may begin."""

import datetime
import shlex
from pathlib import Path

from kvae.bundle.locate import RUNS_FOLDER
from kvae.config import TrainConfig
from kvae.errors import KvaeError
from kvae.files import apart, locks
from kvae.files.atomic import check_replaceable
from kvae.runs import files as run_files
from kvae.runs import layout


def default_folder(config: TrainConfig) -> Path:
    """A new folder in `runs`, named after the data set, the architecture and the time."""
    now = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    return Path(RUNS_FOLDER) / f"{config.dataset}-{config.model.architecture}-{now}"


def check(out: Path, config: TrainConfig) -> None:
    """Raise KvaeError if a run cannot begin in a folder: it is among the images, in use, or not empty."""
    apart.check(out, *config.own_paths)
    locks.check_free(out)
    check_new(out)


def check_new(out: Path) -> None:
    """Raise KvaeError if a run cannot begin in a folder because it holds a run or anything else."""
    if (out / layout.CONFIG).is_file():
        advice = (
            "it is finished"
            if run_files.is_finished(out)
            else f"kvae train --resume {shlex.quote(str(out))} continues it"
        )
        raise KvaeError(f"{out} already holds a run: {advice}. Choose another folder.")
    check_replaceable(out, _is_only_begun, "an empty folder")


def _is_only_begun(folder: Path) -> bool:
    """Whether a training process was killed there before the folder became a run."""
    names = {entry.name for entry in folder.iterdir() if not entry.name.startswith(".")}
    begun = {layout.ENVIRONMENT, layout.DATASET, layout.IMAGES, Path(layout.CHECKPOINT).parts[0]}
    return names <= begun and (folder / locks.FILE).exists()
