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


class Residual(nn.Module):
    """x + conv(silu(conv(silu(x)))), at first x itself."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.last = zeros(nn.Conv2d(channels, channels, 3, padding=1))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return inputs + self.last(functional.silu(self.first(functional.silu(inputs))))


class Group(nn.Module):
    """A group of latent dimensions on a level: its posterior, relative to its prior, its prior, and what z leads to."""

    def __init__(self, channels: int, latents: int) -> None:
        super().__init__()
        self.evidence = nn.Conv2d(channels, channels, 3, padding=1)
        self.state = nn.Conv2d(channels, channels, 3, padding=1)
        self.posterior = zeros(nn.Conv2d(channels, 2 * latents, 1))
        self.prior = zeros(nn.Conv2d(channels, 2 * latents, 1))
        self.latent = nn.Conv2d(latents, channels, 3, padding=1)

    def forward(self, state: torch.Tensor, bottom_up: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        active = functional.silu(state)
        evidence = self.evidence(bottom_up) + self.state(active)
        code, rate = draw(*self.posterior(functional.silu(evidence)).chunk(2, dim=1))
        loc, raw_scale = self.prior(active).chunk(2, dim=1)
        return state + self.latent(loc + bounded_exp(raw_scale) * code), rate


class Ladder(nn.Module):
    """The VAE with kvae's ladder for 28 x 28 pixels, `kvae.model.ladder`: bytes -> the loss, nats per image."""

    HIDDEN, LATENTS = 256, 32

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.ModuleList([nn.Conv2d(a, b, 4, stride=2, padding=1) for a, b in ((1, 24), (24, 48))])
        self.up = nn.ModuleList([nn.Sequential(Residual(width), Residual(width)) for width in (24, 48)])
        self.dense = nn.Linear(48 * 7 * 7, self.HIDDEN)
        self.posterior = zeros(nn.Linear(self.HIDDEN, 2 * self.LATENTS))
        self.hidden = nn.Linear(self.LATENTS, self.HIDDEN)
        self.pixels = nn.Linear(self.HIDDEN, 48 * 7 * 7)
        self.before = nn.ModuleList([Residual(width) for width in (24, 48)])
        self.groups = nn.ModuleList([Group(24, 2), Group(48, 4)])
        self.after = nn.ModuleList([Residual(width) for width in (24, 48)])
        self.larger = nn.Conv2d(48, 4 * 24, 3, padding=1)
        self.last = nn.Conv2d(24, 4, 3, padding=1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        state = pixels = images.float() / 255.0
        bottom_up = []
        for enter, blocks in zip(self.enter, self.up, strict=True):
            state = blocks(enter(state))
            bottom_up.append(functional.silu(state))
        evidence = functional.silu(self.dense(bottom_up[-1].flatten(1)))
        code, rate = draw(*self.posterior(evidence).chunk(2, dim=1))
        state = self.pixels(functional.silu(self.hidden(code))).unflatten(1, (48, 7, 7))
        for level in (1, 0):
            if level == 0:
                state = functional.pixel_shuffle(self.larger(state), 2)
            state, more = self.groups[level](self.before[level](state), bottom_up[level])
            state, rate = self.after[level](state), rate + more
        logits = functional.pixel_shuffle(self.last(functional.silu(state)), 2)
        distortion = functional.binary_cross_entropy_with_logits(logits, pixels, reduction="sum")
        return (distortion + rate) / len(images)


def zeros(layer: nn.Module) -> nn.Module:
    """The layer, whose outputs are 0 at first."""
    for weights in layer.parameters():
        nn.init.zeros_(weights)
    return layer


def bounded_exp(raw: torch.Tensor) -> torch.Tensor:
    """exp, with the exponent softly kept between -5 and 5."""
    return (5.0 * torch.tanh(raw / 5.0)).exp()


def draw(loc: torch.Tensor, raw_scale: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Codes from N(loc, scale^2), and its KL from N(0, I), summed over the batch."""
    scale = bounded_exp(raw_scale)
    rate = 0.5 * (loc.square() + scale.square() - 1.0 - 2.0 * scale.log()).sum()
    return loc + scale * torch.randn_like(loc), rate


def torch_epoch(
    network: str, images: NDArray[np.uint8], compiled: bool = False, channels_last: bool = False
) -> Callable[[], float]:
    """A function that trains for one epoch at each call, and returns the batches' mean loss.

    Args:
        network: "dense", "conv" or "ladder".
        images: uint8 `(n, 28, 28, 1)`.
        compiled: whether torch.compile compiles scaling, networks and loss as one function.
        channels_last: memory layout of the images and of the convolutions.
    """
    layout = torch.channels_last if channels_last else torch.contiguous_format
    model = (Ladder() if network == "ladder" else VAE(network)).to(memory_format=layout)
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
