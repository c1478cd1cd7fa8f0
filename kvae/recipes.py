"""Recipes: named sets of settings, listed in docs/training.md; what they reached is in docs/results.md."""

from typing import Any

from kvae.config import TrainConfig, from_settings
from kvae.errors import ConfigError
from kvae.families import unknown

RECIPES: dict[str, dict[str, Any]] = {
    # The network and the data of the binarised Fashion-MNIST benchmark: Tomczak & Welling, arXiv 1705.07120, and
    # Norouzi, Fleet & Norouzi, Exemplar VAE, arXiv 2004.04795, table 1. The schedule is kvae's own.
    "fashion_mnist_vae": {
        "dataset": "fashion_mnist",
        "architecture": "gated_mlp",
        "hidden_units": 300,
        "latent_dim": 40,
        "likelihood": "bernoulli",
        "binarize": "dynamic",
        "batch_size": 100,
        "epochs": 300,
        "learning_rate": 1e-3,
        "kl_warmup_epochs": 30,
    },
    # For ten minutes on two cores: the same network with a learned prior, in larger and fewer steps. What it gains is
    # in docs/results.md, "Choosing what kvae train does without settings".
    "fashion_mnist_quick": {
        "dataset": "fashion_mnist",
        "architecture": "gated_mlp",
        "hidden_units": 300,
        "latent_dim": 40,
        "likelihood": "bernoulli",
        "prior": "mixture",
        "binarize": "dynamic",
        "batch_size": 128,
        "epochs": 120,
        "learning_rate": 1.5e-3,
        "kl_warmup_epochs": 10,
    },
    # The same data with a hierarchy of 32, 196 and 392 latent dimensions. Without a warm-up of the KL the finest group
    # would copy pixels for long; the large rate needs the clipping and the short memory of Adam's squared gradients.
    # Moving the images (shift) against overfitting costs more than it repays in this time: see docs/results.md. 27,300
    # steps are about two hours.
    "fashion_mnist_ladder": {
        "dataset": "fashion_mnist",
        "architecture": "ladder",
        "latent_dim": 32,
        "likelihood": "bernoulli",
        "binarize": "dynamic",
        "batch_size": 128,
        "epochs": 70,
        "learning_rate": 2e-3,
        "adam_beta2": 0.99,
        "clip_norm": 200.0,
        "ema": 0.999,
        "kl_warmup_epochs": 5,
    },
}


WITHOUT_SETTINGS = {"fashion_mnist": "fashion_mnist_quick"}
"""The recipe that `kvae train` follows for a data set if no setting is given that a result depends on."""
ASIDE = ("dataset", "seed", "jit", "deterministic", "max_skipped_steps", "pictures_every", "tensorboard")
"""The settings that may be given without leaving that recipe: where, how and how often, and not what is trained."""


def for_settings(settings: dict[str, Any]) -> str | None:
    """The recipe of a command that names none: a data set's own, unless a setting says what else is to be trained.

    Args:
        settings: those that were given, flat, as `kvae.config.from_settings` takes them.
    """
    if set(settings) - set(ASIDE):
        return None
    return WITHOUT_SETTINGS.get(settings.get("dataset", TrainConfig.__dataclass_fields__["dataset"].default))


def resolve(recipe: str | None, settings: dict[str, Any]) -> TrainConfig:
    """The config of a recipe with some settings changed; without a recipe, the settings and defaults alone.

    Args:
        recipe: a key of `RECIPES`, or None.
        settings: flat settings as `kvae.config.from_settings` takes them.

    Raises:
        ConfigError: an unknown recipe, or bad settings.
    """
    if recipe is not None and recipe not in RECIPES:
        raise ConfigError(unknown("recipe", recipe, RECIPES))
    return from_settings(RECIPES[recipe] | settings if recipe else settings)
