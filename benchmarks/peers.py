"""What kvae is measured against, in PyTorch: the same networks in a hand-written loop, and pythae's own trainer.

The loop is what a careful user would write: the images stay in memory as bytes, a batch is gathered and scaled in one
go, Adam is fused. The networks are those of `kvae.model.networks`, layer for layer, and the loss is the same too.
"""

import logging
import os
from collections.abc import Callable
from pathlib import Path

os.environ["TQDM_DISABLE"] = "1"  # before importing pythae: its progress bars cost time

import numpy as np
import torch
from numpy.typing import NDArray
from pythae.data.datasets import BaseDataset
from pythae.models import VAE as PythaeVAE
from pythae.models import VAEConfig
from pythae.trainers import BaseTrainer, BaseTrainerConfig
from torch import nn
from torch.nn import functional

logging.disable(logging.INFO)  # pythae sets the levels of its loggers itself
torch.set_num_threads(os.cpu_count() or 1)

LATENT_DIM = 16
BATCH_SIZE = 128
LEARNING_RATE = 1e-3


class VAE(nn.Module):
    """The VAE with a kvae architecture, "dense" or "conv": bytes `(batch, 1, 28, 28)` -> the loss, nats per image."""

    def __init__(self, network: str) -> None:
        super().__init__()
        self.encoder, self.decoder = {"dense": dense, "conv": conv}[network]()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        pixels = images.float() / 255.0
        loc, raw_scale = self.encoder(pixels).chunk(2, dim=1)
        scale = 1e-4 + functional.softplus(raw_scale)
        logits = self.decoder(loc + scale * torch.randn_like(loc))
        distortion = functional.binary_cross_entropy_with_logits(logits, pixels, reduction="sum")
        rate = 0.5 * (loc.square() + scale.square() - 1.0 - 2.0 * scale.log()).sum()
        return (distortion + rate) / len(images)


def dense() -> tuple[nn.Module, nn.Module]:
    """Encoder and decoder with one hidden layer each."""
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 2 * LATENT_DIM))
    decoder = nn.Sequential(nn.Linear(LATENT_DIM, 512), nn.ReLU(), nn.Linear(512, 784), nn.Unflatten(1, (1, 28, 28)))
    return encoder, decoder


def conv() -> tuple[nn.Module, nn.Module]:
    """Strided convolutions down to 7x7, sub-pixel convolutions up again."""
    encoder = nn.Sequential(
        nn.Conv2d(1, 32, 4, stride=2, padding=1),
        nn.SiLU(),
        nn.Conv2d(32, 64, 4, stride=2, padding=1),
        nn.SiLU(),
        nn.Flatten(),
        nn.Linear(7 * 7 * 64, 128),
        nn.SiLU(),
        nn.Linear(128, 2 * LATENT_DIM),
    )
    decoder = nn.Sequential(
        nn.Linear(LATENT_DIM, 128),
        nn.SiLU(),
        nn.Linear(128, 7 * 7 * 64),
        nn.SiLU(),
        nn.Unflatten(1, (64, 7, 7)),
        nn.Conv2d(64, 32 * 4, 3, padding=1),
        nn.SiLU(),
        nn.PixelShuffle(2),
        nn.Conv2d(32, 4, 3, padding=1),
        nn.PixelShuffle(2),
    )
    return encoder, decoder


def torch_epoch(
    network: str, images: NDArray[np.uint8], compiled: bool = False, channels_last: bool = False
) -> Callable[[], float]:
    """A function that trains for one epoch at each call, and returns the batches' mean loss.

    Args:
        network: "dense" or "conv".
        images: uint8 `(n, 28, 28, 1)`.
        compiled: whether torch.compile compiles scaling, networks and loss as one function.
        channels_last: memory layout of the images and of the convolutions.
    """
    layout = torch.channels_last if channels_last else torch.contiguous_format
    model = VAE(network).to(memory_format=layout)
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE, fused=True)
    loss_of = torch.compile(model) if compiled else model
    data = torch.tensor(images.transpose(0, 3, 1, 2)).contiguous(memory_format=layout)

    def epoch() -> float:
        total = torch.zeros(())
        batches = torch.randperm(len(data)).split(BATCH_SIZE)
        for chosen in batches:
            loss = loss_of(data[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.detach()
        return total.item() / len(batches)

    return epoch


def pythae_trainer(images: NDArray[np.uint8], epochs: int, folder: Path) -> BaseTrainer:
    """pythae's trainer with its default VAE, whose networks are `dense`; it saves the trained model in `folder`.

    Args:
        images: uint8 `(n, 28, 28, 1)`.
        epochs: how many epochs `train` runs.
        folder: where it saves its final model.
    """
    data = torch.tensor(images.transpose(0, 3, 1, 2)) / 255.0
    model = PythaeVAE(VAEConfig(input_dim=(1, 28, 28), latent_dim=LATENT_DIM, reconstruction_loss="bce"))
    config = BaseTrainerConfig(
        output_dir=str(folder),
        num_epochs=epochs,
        learning_rate=LEARNING_RATE,
        per_device_train_batch_size=BATCH_SIZE,
    )
    return BaseTrainer(model, BaseDataset(data, torch.zeros(len(data))), training_config=config)


def pythae_epoch(images: NDArray[np.uint8], folder: Path) -> Callable[[], float]:
    """A function that trains for one epoch at each call: `train_step`, which `train` calls once per epoch.

    What `train` does besides, keeping and saving the best weights, is therefore not counted against pythae.
    """
    trainer = pythae_trainer(images, 1, folder)
    trainer.prepare_training()
    return lambda: trainer.train_step(1)


def load_pythae(folder: Path) -> PythaeVAE:
    """The VAE that `pythae_trainer(...).train()` saved in `folder`."""
    (final,) = folder.glob("*/final_model")
    return PythaeVAE.load_from_folder(str(final))
