"""How much slower is training that reads its images from disk, or is deterministic?

    python benchmarks/costs.py
    python benchmarks/costs.py --network conv --rounds 3

Each contender trains the same network at batch 128, one epoch per round, compared with the default of `kvae train`:
images in memory, and the fastest order of additions. Images on disk are a memory-mapped array, as kvae stores a user's
own images if they do not fit in memory; here the system's cache holds them, so this measures kvae, not a disk. An epoch
is fifteen calls or more, far more than are prepared in advance while others run. The dense network trains on grey
images of 28 x 28, the convolutional one on colour images of 64 x 64.
"""

import argparse
import contextlib
import dataclasses
import sys
import tempfile
from importlib import import_module
from pathlib import Path

import numpy as np
import rounds
from training import BATCH_SIZE, MODELS, epochs_as_rounds

from kvae.cli.quiet import import_tensorflow_quietly
from kvae.config import TrainConfig
from kvae.data import datasets

STEPS = {"dense": 1500, "conv": 40}
SHAPES = {"dense": (28, 28, 1), "conv": (64, 64, 3)}
CALL_STEPS = {"dense": 100, "conv": 2}
"""Steps in a call: the slow network has fewer in an epoch, and so in a call."""
CONTENDERS = {"in memory": {}, "from disk": {"on_disk": True}, "deterministic": {"deterministic": True}}


def train(network: str, epochs: int, on_disk: bool = False, deterministic: bool = False) -> None:
    """Train as `kvae train` does; each epoch after the first is a round."""
    import_tensorflow_quietly()
    from kvae.training import building, fitting, process

    module = import_module(f"kvae.model.architectures.{MODELS[network].architecture}")
    module.ARCHITECTURE = dataclasses.replace(module.ARCHITECTURE, steps_per_call=CALL_STEPS[network])
    config = TrainConfig(
        model=MODELS[network], binarize="none", batch_size=BATCH_SIZE, epochs=epochs, deterministic=deterministic
    )
    process.set_up_process(config, "cpu")
    mini = datasets.load("fashion_mnist_mini")
    images = np.resize(mini.train.images, (STEPS[network] * BATCH_SIZE, *SHAPES[network]))
    with tempfile.TemporaryDirectory() as folder:
        if on_disk:
            np.save(Path(folder) / "train.npy", images)
            images = np.load(Path(folder) / "train.npy", mmap_mode="r")
        splits = {"train": datasets.Split(images, None), "validation": datasets.Split(images[:BATCH_SIZE], None)}
        data = dataclasses.replace(mini, **splits)
        vae = building.build(config, data.image_shape, len(images))
        fitting.fit(vae, config, data, [epochs_as_rounds()])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", choices=MODELS, help="One of the two; by default both.")
    parser.add_argument("--rounds", type=int, default=rounds.ROUNDS, help="Rounds of each contender.")
    parser.add_argument("--worker", choices=CONTENDERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        with contextlib.redirect_stdout(sys.stderr):
            train(options.network, options.rounds + 1, **CONTENDERS[options.worker])
        return
    print(rounds.machine())
    for network in [options.network] if options.network else MODELS:
        contenders = [
            rounds.Contender(
                name,
                [__file__, "--worker", name, "--network", network, "--rounds", str(options.rounds)],
                work=STEPS[network] * BATCH_SIZE,
            )
            for name in CONTENDERS
        ]
        rounds.alternate(contenders, options.rounds)
        print(f"\n{network}\n\n{rounds.table(contenders, 'images/s')}")


if __name__ == "__main__":
    main()
