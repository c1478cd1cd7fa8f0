"""Makes the files of this folder, with the kvae of before the topic folders (README.md has the command line)."""

import os
import platform
import shutil
import signal
import sys
from pathlib import Path

import keras
import numpy as np

from kvae import binarization, datasets, interrupts, noise, runs
from kvae.config import ModelConfig, TrainConfig
from kvae.runtime import Bundle

SETTINGS = TrainConfig(
    dataset="fashion_mnist_mini",
    epochs=4,
    batch_size=16,
    beta=0.5,
    entropy_weight=0.75,
    kl_warmup_epochs=3,
    seed=3,
    pictures_every=0,
    model=ModelConfig(architecture="mlp", latent_dim=2, hidden_units=3),
)
STOPPED = ("config.json", "environment.json", "dataset.json", "history.csv", "checkpoints/last.keras")
WHOLE = ("config.json", "history.csv")
CODES = np.array([[0.0, 0.0], [1.5, -0.75]], np.float32)
MARGIN = 1e-3
"""Distance of each pixel, in levels of 8 bits, from the next level: rounding on another processor does not cross it."""


class CtrlC(keras.callbacks.Callback):
    """Presses Ctrl-C in the third epoch, after the second of its three loops of steps."""

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == (2, 1):
            os.kill(os.getpid(), signal.SIGINT)


def keep(run, out, names):
    for name in names:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(run / name, out / name)


def clear_seed(bundle):
    """The first seed whose two images have no pixel near the border between two levels."""
    for seed in range(1000):
        levels = bundle.sample(2, seed).astype(np.float64) * 255
        if np.abs(levels - np.floor(levels) - 0.5).min() > MARGIN:
            return seed
    raise SystemExit("no seed is clear of the borders")


def main(work, out):
    platform.platform = lambda: "Linux"  # environment.json would name this machine's kernel
    runs.train(SETTINGS, work / "whole")
    try:
        runs.train(SETTINGS, work / "stopped", callbacks=[CtrlC()])
    except interrupts.Interrupted:
        keep(work / "stopped", out / "stopped", STOPPED)
    keep(work / "whole", out / "whole", WHOLE)
    shutil.copytree(work / "whole" / "bundle", out / "whole" / "bundle")

    vae = runs.load_model(work / "stopped" / "checkpoints" / "last.keras")
    test = binarization.held_out(datasets.load(SETTINGS.dataset), "test", True)[:2]
    posterior = vae.encoder(test.astype(np.float32) / 255)
    bundle = Bundle.open(work / "whole" / "bundle", device="cpu")
    seed = clear_seed(bundle)
    encoded = bundle.encode(test.astype(np.float32) / 255)
    np.savez_compressed(
        out / "expected.npz",
        codes=CODES,
        means=vae.decoder(CODES).mean().numpy(),
        images=test,
        loc=posterior.mean().numpy(),
        scale=posterior.stddev().numpy(),
        sample_seed=seed,
        noise=noise.standard_normal(seed, 0, 2, SETTINGS.model.latent_dim),
        samples=bundle.sample(2, seed),
        bundle_loc=encoded.loc,
        bundle_scale=encoded.scale,
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
