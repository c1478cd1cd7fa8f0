"""docs/architecture.md, Where a feature goes, followed: a member of each family is one new file and a name in a table.

Each member is then trained, exported, evaluated and sampled from, like those that kvae has.
"""

import hashlib
import sys
from dataclasses import replace

import numpy as np
import pytest

from kvae import config, evaluation, likelihoods
from kvae.config import ModelConfig, TrainConfig
from kvae.data import datasets
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

    def log_density(self, x, *parameters):
        loc, scale = parameters
        return -(np.abs(x - loc) / scale + np.log(2 * scale)).sum(axis=1, dtype=np.float64)

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
FAMILIES = {
    "architecture": (architectures, config.ARCHITECTURES, 16, ARCHITECTURE),
    "likelihood": (likelihoods, config.LIKELIHOODS, "none", LIKELIHOOD),
    "prior": (priors, config.PRIORS, "N(0, I) again", PRIOR),
    "objective": (objectives, config.OBJECTIVES, "a target for the rate", OBJECTIVE),
}


ARRAYS = [
    np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8) for shape in [(96, 8, 8), (96,), (32, 8, 8), (32,)]
]


@pytest.fixture
def data_dir(tmp_path, monkeypatch):
    """A data set is a Source in the table; here its four files of 8 x 8 images lie in this folder."""
    folder = tmp_path / "data"
    folder.mkdir()
    files = []
    for file, array in zip(datasets.SOURCES["mnist"].files, ARRAYS, strict=True):
        content = idx.to_bytes(array)
        (folder / file.name).write_bytes(content)
        files.append(datasets.File(file.name, array.shape, hashlib.sha256(content).hexdigest()))
    source = replace(datasets.SOURCES["mnist"], files=tuple(files), num_validation=32, urls=(), test_bits_sha256=None)
    monkeypatch.setitem(datasets.SOURCES, "added", source)
    return folder


@pytest.mark.parametrize("family", FAMILIES)
def test_a_member_is_one_file_and_a_name(family, data_dir, tmp_path, monkeypatch):
    package, table, value, source = FAMILIES[family]
    added = tmp_path / "members"
    added.mkdir()
    (added / "added.py").write_text(source)
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(added)])
    monkeypatch.setitem(table, "added", value)

    model = ModelConfig(
        **({"architecture": "mlp", "latent_dim": 2} | ({} if family == "objective" else {family: "added"}))
    )
    config = TrainConfig(dataset="added", epochs=1, batch_size=16, model=model)
    if family == "objective":
        config = replace(config, objective="added")
    try:
        run = train(config, tmp_path / "run", data_dir)
    finally:
        sys.modules.pop(f"{package.__name__}.added", None)
    assert np.isfinite(run.metrics["elbo"].value)
    bundle = Bundle.open(run.exported.path)
    assert bundle.sample(5, seed=0).shape == (5, 8, 8, 1)
    images = np.random.default_rng(1).integers(0, 2, (20, 8, 8, 1), dtype=np.uint8) * np.uint8(255)
    result = evaluation.evaluate(bundle, images, 20)
    assert result.metrics["nll"].value <= -result.metrics["elbo"].value + 0.05
    if family == "likelihood":
        assert bundle.manifest.likelihood == "added"
    if family == "objective":
        assert "target for the rate" in bundle.manifest.training["loss_caveat"]
