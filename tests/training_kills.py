"""A program for the tests: kill a training at writing calls spread evenly over it, and let another process go on.

python training_kills.py FOLDER KILLS

Prints how many writing calls the whole run made, and for each kill the call and whether the run ended with the same
weights; the last line is "all the same" if all did and nothing else was left.
"""

import hashlib
import os
import shutil
import signal
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from kills import EVENTS, WRITING

from kvae.config import ModelConfig, TrainConfig
from kvae.files import claims
from kvae.model.architectures import mlp
from kvae.runs import files as run_files
from kvae.training import checkpoints, keras_files, making, resuming

CONFIG = TrainConfig(
    dataset="fashion_mnist_mini",
    epochs=2,
    batch_size=500,
    deterministic=True,
    pictures_every=1,
    jit="off",
    model=ModelConfig(architecture="mlp", latent_dim=2, hidden_units=8),
)


def run(folder: Path, kill_at: int = 0, tell: int = 0) -> int:
    """Start or resume a run in a new process; its status, negative if it was killed.

    Args:
        folder: the run.
        kill_at: the writing call before which the process kills itself; 0 for none.
        tell: a pipe, to which the number of writing calls is written at the end.
    """
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    status, count = 1, 0

    def look(event: str, arguments: tuple) -> None:
        nonlocal count
        is_write = event == "open" and (arguments[2] or 0) & WRITING
        if (is_write or event in EVENTS) and str(arguments[0]).startswith(str(folder)):
            count += 1
            if count == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    try:
        sys.addaudithook(look)
        if (folder / "config.json").exists():
            if not run_files.is_finished(folder):
                resuming.resume(folder)
        else:
            making.train(CONFIG, folder)
        if tell:
            os.write(tell, str(count).encode())
        status = 0
    finally:
        os._exit(status)


def weights(folder: Path) -> str:
    """A digest of a run's best weights."""
    model = keras_files.load_model(folder)
    return hashlib.sha256(b"".join(np.asarray(value).tobytes() for value in model.get_weights())).hexdigest()


def main(root: Path, kills: int) -> None:
    """Make a run whole, then killed."""
    mlp.ARCHITECTURE = replace(mlp.ARCHITECTURE, steps_per_call=2)
    checkpoints.SECONDS = 0.0  # after each call of the compiled loop, so that many kills come while it writes
    reading, writing = os.pipe()
    assert run(root / "whole", tell=writing) == 0
    calls = int(os.read(reading, 20))
    print(f"{calls} calls", flush=True)
    names = sorted(path.name for path in (root / "whole").rglob("*"))
    bad = []
    # Not the very last calls: how many there are differs by one or two, with what a process finds to clear away.
    for number in (1 + round(index * (calls - 10) / (kills - 1)) for index in range(kills)):
        folder = root / "killed"
        killed = run(folder, number)
        again = run(folder)
        left = sorted(path.name for path in folder.rglob("*"))
        left = [name for name in left if not name.endswith(claims.SUFFIX)] if again == 0 else left
        fine = (killed, again, left) == (-signal.SIGKILL, 0, names)
        print(number, killed, again, set(left) ^ set(names), flush=True)
        bad += [] if fine else [number]
        shutil.move(folder, root / f"killed-{number}")
    expected = weights(root / "whole")
    bad += [path.name for path in root.glob("killed-*") if weights(path) != expected]
    print(f"wrong: {bad}" if bad else "all the same")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), int(sys.argv[2]))
