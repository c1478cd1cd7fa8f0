"""How fast does kvae train, compared with PyTorch, pythae, a plain Keras `fit`, and only the matrix products it needs?

    python benchmarks/training.py                    # all networks, all contenders that are installed
    python benchmarks/training.py --network dense
    python benchmarks/training.py --quick            # without the peers, against baseline.json

Every contender trains the same network at batch 128 in float32 with Adam on all cores; a round is one epoch over
images of Fashion-MNIST. kvae's rounds are epochs of one long `kvae.training.fitting.fit`, as `kvae train` runs it, each
up to its validation. The matrix products are those of the dense network's forward and backward pass, with nothing in
between: what a step would cost if everything else were free, in numpy's BLAS and in PyTorch's. If TensorFlow sees a
GPU, kvae trains there too, in a separate row.
"""

import argparse
import contextlib
import dataclasses
import importlib.util
import os
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import rounds

from kvae.cli.quiet import import_tensorflow_quietly
from kvae.config import ModelConfig, TrainConfig
from kvae.data import datasets
from kvae.model.priors import StandardNormal

BATCH_SIZE = 128
MODELS = {
    "dense": ModelConfig(architecture="mlp", latent_dim=16, hidden_units=512),
    "conv": ModelConfig(architecture="conv", latent_dim=16, hidden_units=128),
    "ladder": ModelConfig(architecture="ladder", latent_dim=32, hidden_units=256),
}
STEPS = {"dense": 200, "conv": 30, "ladder": 12}
"""Optimiser steps of one round: one to three seconds on 2 cores."""
QUICK_STEPS = {"dense": 100, "conv": 15}
"""Without the ladder, which compiles for long; its step is made of the same operations as the convolutional one."""
FIND_GPU = "import tensorflow; tensorflow.config.list_physical_devices('GPU')[0]"


def train_data(steps: int) -> datasets.Dataset:
    """The images of the mini set, repeated: `steps` batches to train on, and one to validate on, which is not timed."""
    data = datasets.load("fashion_mnist_mini")
    images = np.resize(data.train.images, (steps * BATCH_SIZE, *data.image_shape))
    validation = datasets.Split(data.validation.images[:BATCH_SIZE], None)
    return dataclasses.replace(data, train=datasets.Split(images, None), validation=validation)


def epochs_as_rounds() -> Any:
    """A Keras callback for a `fit` with a validation split: each epoch is a round, from its start to its validation."""
    import keras

    class Epochs(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            if epoch and not rounds.asked():  # the first one compiles and is not measured
                sys.exit()
            self.start = time.perf_counter()

        def on_test_begin(self, logs: Any = None) -> None:
            float(self.model.metrics[0].result())  # waits until all steps are done
            self.seconds = time.perf_counter() - self.start

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:  # others must wait for the validation
            rounds.answer(self.seconds if epoch else "ready")

    return Epochs()


def kvae_fit(network: str, steps: int, epochs: int, device: str = "cpu") -> None:
    """Train with kvae as `kvae train` runs it."""
    import_tensorflow_quietly()
    from kvae.training import building, fitting, process

    config = TrainConfig(model=MODELS[network], binarize="none", batch_size=BATCH_SIZE, epochs=epochs)
    process.set_up_process(config, device)
    data = train_data(steps)
    vae = building.build(config, data.image_shape, len(data.train.images))
    fitting.fit(vae, config, data, [epochs_as_rounds()])


def keras_fit(network: str, steps: int, epochs: int) -> None:
    """The same model with Keras and tf.data's defaults, except for `untuned`, which avoids stalls."""
    import_tensorflow_quietly()
    import keras
    import tensorflow as tf

    from kvae.model import networks
    from kvae.model.vae import VAE
    from kvae.steps.batches import untuned

    config, data = MODELS[network], train_data(steps)
    vae = VAE(
        networks.build_encoder(config, data.image_shape),
        networks.build_decoder(config, data.image_shape),
        StandardNormal(networks.latent_dim(config, data.image_shape)),
        seed=0,
    )
    vae.compile(optimizer=keras.optimizers.Adam(1e-3), jit_compile=False)

    def batches(images: Any, shuffle_buffer: int) -> tf.data.Dataset:
        shuffled = tf.data.Dataset.from_tensor_slices(images).shuffle(shuffle_buffer)
        scaled = shuffled.batch(BATCH_SIZE).map(lambda batch: tf.cast(batch, tf.float32) / 255.0)
        return untuned(scaled.prefetch(1))

    vae.fit(
        batches(data.train.images, len(data.train.images)),
        validation_data=batches(data.validation.images, 1),
        epochs=epochs,
        shuffle=False,  # done in `batches`
        verbose=0,
        callbacks=[epochs_as_rounds()],
    )


def torch_loop(network: str, steps: int, epochs: int, **options: bool) -> None:
    """A hand-written PyTorch loop; options as for `peers.torch_epoch`."""
    import peers

    rounds.serve(peers.torch_epoch(network, train_data(steps).train.images, **options))


def pythae_trainer(network: str, steps: int, epochs: int) -> None:
    """pythae's trainer."""
    import peers

    with tempfile.TemporaryDirectory() as folder:
        rounds.serve(peers.pythae_epoch(train_data(steps).train.images, Path(folder)))


def numpy_products(network: str, steps: int, epochs: int) -> None:
    """The matrix products of `steps` steps, in numpy."""
    pairs = [(a, b, np.empty((len(a), b.shape[1]), np.float32)) for a, b in dense_products()]

    def products() -> None:
        for _ in range(steps):
            for a, b, out in pairs:
                np.matmul(a, b, out=out)

    rounds.serve(products)


def torch_products(network: str, steps: int, epochs: int) -> None:
    """The same in PyTorch, which uses another BLAS."""
    import torch

    torch.set_num_threads(os.cpu_count() or 1)
    pairs = [(torch.from_numpy(a), torch.from_numpy(b)) for a, b in dense_products()]
    triples = [(a, b, torch.empty(len(a), b.shape[1])) for a, b in pairs]

    def products() -> None:
        for _ in range(steps):
            for a, b, out in triples:
                torch.matmul(a, b, out=out)

    rounds.serve(products)


def dense_products() -> list[tuple[Any, Any]]:
    """The factors of the 11 products of a step of the dense network: forward, for the weights, for the inputs."""
    generator = np.random.default_rng(0)

    def normal(*shape: int) -> Any:
        return generator.standard_normal(shape, dtype=np.float32)

    factors = []
    for inputs, outputs in ((784, 512), (512, 32), (16, 512), (512, 784)):
        x, weights, gradient = normal(BATCH_SIZE, inputs), normal(inputs, outputs), normal(BATCH_SIZE, outputs)
        factors += [(x, weights), (x.T, gradient)]
        if inputs != 784:  # the gradient of the images is not needed
            factors.append((gradient, weights.T))
    return factors


CONTENDERS: dict[str, Callable[[str, int, int], None]] = {
    "kvae": kvae_fit,
    "kvae, GPU": partial(kvae_fit, device="cuda"),
    "keras fit": keras_fit,
    "matrix products": numpy_products,
    "matrix products, torch": torch_products,
    "torch": torch_loop,
    "torch compiled": partial(torch_loop, compiled=True),
    "torch, channels_last": partial(torch_loop, channels_last=True),
    "torch compiled, channels_last": partial(torch_loop, compiled=True, channels_last=True),
    "pythae": pythae_trainer,
}
CONVOLUTIONAL_PEERS = ["torch", "torch compiled", "torch, channels_last", "torch compiled, channels_last"]
ALWAYS = {
    "dense": ["kvae", "keras fit", "matrix products"],
    "conv": ["kvae", "keras fit"],
    "ladder": ["kvae", "keras fit"],
}
PEERS = {
    "dense": ["matrix products, torch", "torch", "torch compiled", "pythae"],
    "conv": CONVOLUTIONAL_PEERS,
    "ladder": CONVOLUTIONAL_PEERS,
}


def compare(network: str, names: list[str], steps: int, number: int) -> list[rounds.Contender]:
    """The named contenders, after `number` rounds each of `steps` steps."""
    contenders = []
    for name in names:
        command = [__file__, "--worker", name, "--network", network, "--steps", str(steps), "--rounds", str(number)]
        contenders.append(rounds.Contender(name, command, work=steps * BATCH_SIZE))
    rounds.alternate(contenders, number)
    return contenders


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", choices=MODELS, help="One of them; by default all.")
    parser.add_argument("--rounds", type=int, help=f"Rounds of each contender. [default: {rounds.ROUNDS}]")
    parser.add_argument("--quick", action="store_true", help="Short rounds without the peers, against baseline.json.")
    parser.add_argument("--worker", choices=CONTENDERS, help=argparse.SUPPRESS)
    parser.add_argument("--steps", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        with contextlib.redirect_stdout(sys.stderr):
            CONTENDERS[options.worker](options.network, options.steps, options.rounds + 1)
        return

    peers = not options.quick and all(importlib.util.find_spec(name) for name in ("torch", "pythae"))
    number = options.rounds or rounds.ROUNDS
    steps = QUICK_STEPS if options.quick else STEPS
    if options.network and options.network not in steps:
        parser.error(f"--quick has no {options.network}; it has {' and '.join(steps)}.")
    measured = {}
    print(rounds.machine())
    if not peers and not options.quick:
        print("Without torch and pythae: pip install -r benchmarks/requirements.txt")
    on_gpu = not options.quick and rounds.gpu() and rounds.succeeds(FIND_GPU)
    for network in [options.network] if options.network else steps:
        names = ALWAYS[network] + (PEERS[network] if peers else []) + (["kvae, GPU"] if on_gpu else [])
        kvae, *others = compare(network, names, steps[network], number)
        print(f"\n{network}\n\n{rounds.table([kvae, *others], 'images/s')}")
        for other in others:
            measured[f"training/{network}/{other.name}"] = rounds.best(kvae, other)
    if options.quick:
        rounds.check(measured, Path(__file__).with_name("baseline.json"))


if __name__ == "__main__":
    main()
