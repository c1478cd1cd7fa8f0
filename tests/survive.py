"""A program for the tests: train while the process is killed at random moments, until the run is complete.

python survive.py FOLDER KILLS SEED

Makes two runs with one config: FOLDER/whole without interruption, and FOLDER/killed, whose process is killed KILLS
times and resumed each time. TensorFlow is imported once, before the training processes are forked. The program prints
how many seconds the whole run took, and which files each kill left.
"""

import os
import random
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

from kvae.comparison import sweeps  # noqa: F401  # all is loaded once, before the processes are forked
from kvae.config import ModelConfig, TrainConfig
from kvae.model.architectures import mlp
from kvae.training import checkpoints, making, resuming

CONFIG = TrainConfig(
    dataset="fashion_mnist_mini",
    epochs=8,
    batch_size=100,
    deterministic=True,
    pictures_every=4,
    jit="off",
    model=ModelConfig(architecture="mlp", latent_dim=2, hidden_units=16),
)


def start(folder: Path) -> int:
    """Start a new process that starts the run or resumes it; its number."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        if (folder / "config.json").exists():
            resuming.resume(folder)
        else:
            making.train(CONFIG, folder)
        status = 0
    finally:
        os._exit(status)


def main(folder: Path, kills: int, seed: int) -> None:
    mlp.ARCHITECTURE = replace(mlp.ARCHITECTURE, steps_per_call=5)
    began = time.monotonic()
    assert os.waitpid(start(folder / "whole"), 0)[1] == 0
    seconds = time.monotonic() - began
    print(f"whole: {seconds:.1f} s", flush=True)
    moments = random.Random(seed)
    checkpoints.SECONDS = 0.0  # after each call, not only each epoch, so that some kills come during a write
    run = folder / "killed"
    for _ in range(kills):
        if (run / "metrics.json").exists():  # it finished first: start again
            run.rename(folder / f"early-{time.monotonic_ns()}")
        child = start(run)
        time.sleep(moments.uniform(0.0, 0.9 * seconds))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        names = sorted(str(path.relative_to(run)) for path in run.rglob("*")) if run.exists() else []
        print("killed:", *names, flush=True)
    if not (run / "metrics.json").exists():
        assert os.waitpid(start(run), 0)[1] == 0


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
