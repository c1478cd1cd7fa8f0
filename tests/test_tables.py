"""The names in `kvae.config` and the files of the folders agree, and each file holds what it should."""

from dataclasses import fields
from pathlib import Path

import pytest

from kvae import config, likelihoods
from kvae.data import named
from kvae.model import architectures, objectives, priors

TABLES = {
    "architecture": (config.ARCHITECTURES, architectures, architectures.Architecture),
    "likelihood": (config.LIKELIHOODS, likelihoods, likelihoods.Likelihood),
    "prior": (config.PRIORS, priors, priors.Prior),
    "objective": (config.OBJECTIVES, objectives, objectives.Objective),
    "dataset": (config.DATASETS, named, named.Source),
}
SHARED = {
    "__init__", "architecture", "fixed", "likelihood", "objective", "prior", "reparameterized", "schedule", "softplus",
    "source",
}  # fmt: skip
"""The files of these folders that are what members have in common; `fixed` wraps a distribution of the user's."""


@pytest.mark.parametrize("setting", TABLES)
def test_names_and_files_agree(setting):
    names, folder, kind = TABLES[setting]
    files = {path.stem for path in Path(folder.__file__).parent.glob("*.py")} - SHARED
    assert files == set(names)
    for name in names:
        found = folder.get(name)
        assert isinstance(found, kind) or issubclass(found, kind)


@pytest.mark.parametrize("setting", sorted(set(TABLES) - {"dataset"}))
def test_the_config_offers_these_names(setting):
    """A data set has no fixed choice: with --data its name is the user's."""
    (item,) = (
        item for part in (config.ModelConfig, config.TrainConfig) for item in fields(part) if item.name == setting
    )
    assert item.metadata["choices"] is TABLES[setting][0]
