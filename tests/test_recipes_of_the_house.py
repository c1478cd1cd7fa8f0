"""docs/architecture.md, Where a feature goes, followed: a member of each family is one new file and a name in a table.

A model with the new member is trained, exported, evaluated and sampled from. A new verb is listed, run and refused like
those that kvae has.
"""

import hashlib
import re
import sys

import numpy as np
import pytest
from click.testing import CliRunner

from kvae import cli, config, evaluation, likelihoods
from kvae.bundle.manifest import Manifest
from kvae.cli.main import VERBS, main
from kvae.cli.verbs import Verb
from kvae.config import from_settings
from kvae.data import named
from kvae.evaluation import data as evaluation_data
from kvae.files import idx
from kvae.model import architectures, objectives, priors
from kvae.runtime import Bundle
from kvae.training import train

ARCHITECTURE = '''
"""No hidden layer at all."""

import math

import keras
from keras import layers

from kvae.model.architectures.architecture import Architecture


def encoder_body(image_shape, hidden_units):
    return keras.Sequential([keras.Input(image_shape), layers.Flatten()])


def decoder_body(output_shape, hidden_units, latent_dim):
    return keras.Sequential(
        [keras.Input((latent_dim,)), layers.Dense(math.prod(output_shape)), layers.Reshape(output_shape)]
    )


ARCHITECTURE = Architecture(encoder_body=encoder_body, decoder_body=decoder_body, xla_on_cpu=True, steps_per_call=50)
'''
LIKELIHOOD = '''
"""p(x|z) = Laplace(loc, scale) for each pixel."""

import numpy as np

from kvae.likelihoods.likelihood import DENSITY, Likelihood


class Laplace(Likelihood):
    parameters = ("loc", "scale")
    kind = DENSITY
    images = "pixels in [0, 1]"

    def log_densities(self, x, *parameters):
        loc, scale = (values.astype(np.float64) for values in parameters)
        return -(np.abs(x - loc) / scale + np.log(2 * scale))

    def family(self):
        import tensorflow_probability as tfp

        return tfp.distributions.Laplace

    def distribution(self, outputs):
        import tensorflow as tf

        loc, scale = tf.split(outputs, 2, axis=-1)
        return self.family()(tf.sigmoid(loc), 0.05 + tf.nn.softplus(scale))

    def mean(self, pixels):
        return pixels.loc


LIKELIHOOD = Laplace()
'''
PRIOR = '''
"""N(0, I), spelled as independent normals."""

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from kvae.model.priors.prior import Prior

tfd = tfp.distributions


@keras.saving.register_keras_serializable("tests")
class Spelled(Prior):
    def call(self, label=None):
        return tfd.Independent(tfd.Normal(tf.zeros(self.latent_dim), 1.0), 1)


PRIOR = Spelled
'''
OBJECTIVE = '''
"""The distance of the rate from a target, with a weight."""

from dataclasses import dataclass

import keras
import tensorflow as tf

from kvae.model.objectives.objective import Objective


@keras.saving.register_keras_serializable("tests")
@dataclass(frozen=True, kw_only=True)
class Capacity(Objective):
    """Burgess et al., arXiv 1804.03599."""

    nats: float = 4.0

    def loss(self, terms, beta):
        return tf.reduce_mean(terms.distortion + beta * tf.abs(terms.rate - self.nats))

    @property
    def caveat(self):
        return "is not a bound: it has a target for the rate"


OBJECTIVE = Capacity
'''
IMAGES = np.random.default_rng(0).integers(0, 256, (128, 8, 8), dtype=np.uint8)
LABELS = np.zeros(128, np.uint8)
CONTENTS = [idx.to_bytes(array) for array in (IMAGES[:96], LABELS[:96], IMAGES[96:], LABELS[96:])]
DATASET = f'''
"""Noise of 8 x 8 pixels."""

from kvae.data.named.source import Source, mnist_files

DATASET = Source(
    files=mnist_files(96, 32, {tuple(hashlib.sha256(content).hexdigest() for content in CONTENTS)}, size=(8, 8)),
    num_validation=32,
    class_names=("noise",),
    licence="cc0-1.0",
)
'''
VERB = '''
"""`kvae added`: how many latent dimensions a model has."""

import click

from kvae.cli.help import command
from kvae.cli.options import model_option


@command(examples=["kvae added", "kvae added --model my_bundle"])
@model_option
def added(model: str | None) -> None:
    """Show how many latent dimensions a model has."""
    from kvae.bundle.locate import locate
    from kvae.bundle.manifest import Manifest

    click.echo(Manifest.read(locate(model)).latent_dim)
'''
FAMILIES = {
    "architecture": (architectures, config.ARCHITECTURES, 16, ARCHITECTURE),
    "likelihood": (likelihoods, config.LIKELIHOODS, "none", LIKELIHOOD),
    "prior": (priors, config.PRIORS, "N(0, I) again", PRIOR),
    "objective": (objectives, config.OBJECTIVES, "a target for the rate", OBJECTIVE),
    "dataset": (named, config.DATASETS, "noise", DATASET),
    "verb": (cli, VERBS, Verb("added", "Show how many latent dimensions a model has.", "Look"), VERB),
}


@pytest.fixture
def add(tmp_path, monkeypatch):
    """Follow the recipe of a family: one new file, added.py, and a name in the family's table."""
    modules = []

    def follow(family):
        package, table, value, source = FAMILIES[family]
        folder = tmp_path / "members" / family
        folder.mkdir(parents=True)
        (folder / "added.py").write_text(source)
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(folder)])
        monkeypatch.setitem(table, "added", value)
        modules.append(f"{package.__name__}.added")

    yield follow
    for name in modules:
        sys.modules.pop(name, None)


@pytest.fixture
def data_dir(add, tmp_path):
    """The folder with the four files of a data set of 8 x 8 images, added by its recipe."""
    add("dataset")
    folder = tmp_path / "data"
    folder.mkdir()
    for file, content in zip(named.get("added").files, CONTENTS, strict=True):
        (folder / file.name).write_bytes(content)
    return folder


PARTS = ("architecture", "likelihood", "objective", "prior")
"""The families of which a model has one member each."""


@pytest.mark.parametrize(
    "families",
    [PARTS, *(pytest.param(part, marks=pytest.mark.exhaustive) for part in ((), *((part,) for part in PARTS)))],
    ids=lambda families: " and ".join(families) or "dataset",
)
def test_a_member_is_one_file_and_a_name(families, add, data_dir, tmp_path):
    """A new data set, and for a model of it new members of all the other families at once, or of each alone."""
    settings = {"dataset": "added", "epochs": 1, "batch_size": 16, "architecture": "mlp", "latent_dim": 2, "jit": "off"}
    for family in families:
        add(family)
    run = train(from_settings(settings | dict.fromkeys(families, "added")), tmp_path / "run", data_dir)
    assert np.isfinite(run.metrics["elbo"].value)
    bundle = Bundle.open(run.exported.path)
    assert bundle.sample(5, seed=0).shape == (5, 8, 8, 1)
    images = evaluation_data.test_images(bundle.manifest, data_dir)
    result = evaluation.evaluate(bundle, images, 20)
    assert result.metrics["nll"].value <= -result.metrics["elbo"].value + 0.05
    assert [bundle.manifest.dataset[key] for key in ("name", "licence")] == ["added", "cc0-1.0"]
    if "architecture" in families:
        assert sum("added" in name for name in sys.modules if name.startswith("kvae.model.architectures.")) == 1
    if "prior" in families:
        assert sum("added" in name for name in sys.modules if name.startswith("kvae.model.priors.")) == 1
    if "likelihood" in families:
        assert bundle.manifest.likelihood == "added"
    if "objective" in families:
        assert "target for the rate" in result.loss_caveat
        assert "target for the rate" in (run.path / "report.html").read_text()
        assert "target for the rate" in (run.path / "bundle" / "README.md").read_text()


def test_a_verb_is_one_file_and_a_row(add, bundle_path):
    add("verb")

    def kvae(*arguments):
        return CliRunner().invoke(main, arguments, prog_name="kvae", catch_exceptions=False)

    assert re.search("^  added +Show how many latent dimensions", kvae("--help").stdout, re.MULTILINE)
    assert "Usage: kvae added [OPTIONS]" in kvae("added", "--help").stdout
    result = kvae("added", "--model", str(bundle_path))
    assert (result.exit_code, result.stdout) == (0, f"{Manifest.read(bundle_path).latent_dim}\n")
    for arguments, status, message in (
        (["--model", "nothing"], 1, "model 'nothing' not found"),
        (["--colour"], 2, "No such option"),
    ):
        result = kvae("added", *arguments)
        assert (result.exit_code, result.stdout) == (status, "")
        assert result.stderr.startswith("Error: ") and message in result.stderr
        assert result.stderr.count("\n") == 1
