"""How long does it take to train a model as good as the one that pythae trains by default in 20 epochs?

    python benchmarks/time_to_quality.py                # 3 rounds, about two minutes each on 2 cores
    python benchmarks/time_to_quality.py --epochs 1     # both sides cut short, to see whether it works

Runs whole processes in turn, from start to exit, including imports, data, compilation, evaluation and files: pythae's
trainer with its default VAE on the 60,000 training images of Fashion-MNIST, and `kvae train`. Quality is the -ELBO on
the grey test images (Bernoulli on intensities, nats per image), computed for both by one evaluator from the saved
models.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rounds
from numpy.typing import NDArray

from kvae.data import datasets

ROUNDS = 3
PEER_EPOCHS = 20
KVAE = str(Path(sys.executable).parent / "kvae")
KVAE_ARGS = [
    "--dataset", "fashion_mnist", "--binarize", "none",
    "--architecture", "mlp", "--latent-dim", "16", "--hidden-units", "512",
    # pythae's network. A larger learning rate, which is warmed up and decays to 0, gets there in fewer epochs.
    "--batch-size", "160", "--learning-rate", "0.01", "--lr-warmup-steps", "400", "--adam-beta2", "0.99",
    "--epochs", "8",
]  # fmt: skip
DRAWS = 10
"""Draws from each test image's posterior."""
# Reads what both sides read first into the page cache, so that the first round is like the others.
WARM_UP = "import torch, pythae.trainers, tensorflow, tensorflow_probability, tf2onnx, onnxruntime, matplotlib.pyplot"

Floats = NDArray[np.float32]


Encode = Callable[[Floats], tuple[Floats, Floats]]
"""Images `(n, 28, 28, 1)` in [0, 1] -> loc and scale of the posterior, each `(n, 16)`."""
Logits = Callable[[Floats], Floats]
"""z `(n, 16)` -> the logits of the pixels, in any shape."""


@dataclass
class Trained:
    """A process that trained a model and saved it in a folder."""

    side: str
    folder: Path
    seconds: float
    gibibytes: float
    """Its peak memory."""


def run(side: str, command: list[str], folder: Path) -> Trained:
    """Run one process from start to exit."""
    folder.mkdir(parents=True)
    with open(folder / "log.txt", "w+", encoding="utf-8") as log:
        start = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        if status:
            log.seek(0)
            raise SystemExit(f"{' '.join(command)} failed:\n{log.read()}")
    return Trained(side, folder, seconds, usage.ru_maxrss / 2**20)


def train_pythae(folder: Path, epochs: int) -> None:
    """What a user of pythae would run; called in a separate process."""
    import peers

    data = datasets.load("fashion_mnist")
    images = np.concatenate([data.train.images, data.validation.images])
    peers.pythae_trainer(images, epochs, folder).train()


def pythae_functions(folder: Path) -> tuple[Encode, Logits]:
    """The functions of a VAE that `train_pythae` saved."""
    import peers
    import torch

    model = peers.load_pythae(folder).eval()
    hidden, (linear, _) = model.decoder.layers  # without the sigmoid, which rounds to 1 for logits above 17

    def encode(images: Floats) -> tuple[Floats, Floats]:
        with torch.inference_mode():
            posterior = model.encoder(torch.from_numpy(images))
            return posterior.embedding.numpy(), (0.5 * posterior.log_covariance).exp().numpy()

    def logits(z: Floats) -> Floats:
        with torch.inference_mode():
            return linear(hidden(torch.from_numpy(z))).numpy()

    return encode, logits


def kvae_functions(folder: Path) -> tuple[Encode, Logits]:
    """The functions of the bundle that `kvae train` exported."""
    from kvae.runtime.bundle import Bundle

    bundle = Bundle.open(folder / "run" / "bundle", device="cpu")
    return bundle.encode, lambda z: bundle.run("decoder", {"z": z}, ["likelihood_parameters"])["likelihood_parameters"]


def negative_elbo(encode: Encode, logits: Logits, images: NDArray[np.uint8]) -> tuple[float, float]:
    """The mean -ELBO of uint8 images `(n, 28, 28, 1)` and its standard error, in nats; the noise is always the same."""
    generator = np.random.default_rng(0)
    nats = []
    for batch in np.split(images, range(1000, len(images), 1000)):
        pixels = batch.astype(np.float32) / 255.0
        loc, scale = encode(pixels)
        rate = 0.5 * (loc**2 + scale**2 - 1.0 - 2.0 * np.log(scale)).sum(1)
        distortion = np.zeros(len(batch))
        for _ in range(DRAWS):
            z = loc + scale * generator.standard_normal(loc.shape, np.float32)
            eta = logits(z).reshape(pixels.shape)
            distortion += (np.logaddexp(0.0, eta) - pixels * eta).sum((1, 2, 3)) / DRAWS  # -log p(x|z)
        nats.append(rate + distortion)
    values = np.concatenate(nats)
    return float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="Processes of each side. [default: %(default)s]")
    parser.add_argument("--epochs", type=int, help="Epochs for both sides, instead of their own.")
    # A process of pythae's side:
    parser.add_argument("--pythae", type=Path, metavar="FOLDER", help=argparse.SUPPRESS)
    options = parser.parse_args()
    epochs = options.epochs or PEER_EPOCHS
    if options.pythae:
        train_pythae(options.pythae, epochs)
        return

    print(rounds.machine(), flush=True)
    if subprocess.run([sys.executable, "-c", WARM_UP], capture_output=True).returncode:
        raise SystemExit("Something is not installed: pip install -e '.[cpu,train]' -r benchmarks/requirements.txt")
    kvae_command = [KVAE, "train", *KVAE_ARGS, "--out", "run"]
    if options.epochs:
        kvae_command += ["--epochs", str(epochs), "--lr-warmup-steps", "0"]  # the warm-up may be longer than the run
    with tempfile.TemporaryDirectory() as name:
        trained = []
        for number in range(options.rounds):
            folder = Path(name) / str(number)
            for side, command in (
                ("pythae", [sys.executable, __file__, "--pythae", ".", "--epochs", str(epochs)]),
                ("kvae", kvae_command),
            ):
                trained.append(run(side, command, folder / side))
                print(f"round {number + 1}, {side}: {trained[-1].seconds:.1f} s", flush=True)
        # Not earlier: a process's peak memory includes what its parent held when it was started.
        report(trained, datasets.load("fashion_mnist").test.images)


def report(trained: list[Trained], images: NDArray[np.uint8]) -> None:
    """Print a Markdown table of all processes and the comparison of the two sides."""
    functions = {"pythae": pythae_functions, "kvae": kvae_functions}
    print("\n| what | seconds | test -ELBO, nats | peak memory, GiB |\n|---|---|---|---|")
    quality: dict[str, list[float]] = {side: [] for side in functions}
    for process in trained:
        value, error = negative_elbo(*functions[process.side](process.folder), images)
        quality[process.side].append(value)
        print(f"| {process.side} | {process.seconds:.1f} | {value:.2f} ± {error:.2f} | {process.gibibytes:.2f} |")
    seconds = {side: [process.seconds for process in trained if process.side == side] for side in functions}
    ratios = [theirs / ours for theirs, ours in zip(seconds["pythae"], seconds["kvae"], strict=True)]
    reached = sum(ours <= theirs for theirs, ours in zip(quality["pythae"], quality["kvae"], strict=True))
    print(
        f"\nkvae is {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) times as fast, "
        f"and reached pythae's quality in {reached} of {len(ratios)} rounds."
    )


if __name__ == "__main__":
    main()
