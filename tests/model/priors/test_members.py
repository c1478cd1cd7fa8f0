"""Every prior in a whole model: it trains, is saved and loaded, and takes its settings from the config."""

import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny import DATASET, IMAGE_SHAPE, make_vae, random_images

from kvae.config import FITTED_PRIORS, PRIOR_COMPONENTS, PRIORS, ModelConfig, TrainConfig, from_settings
from kvae.errors import ConfigError, KvaeError
from kvae.export import export
from kvae.model import networks, priors
from kvae.model.vae import VAE
from kvae.runtime import Bundle
from kvae.steps import FusedAdam
from kvae.training.keras_files import load_model

LEARNED = sorted(set(PRIORS) - {"standard_normal"})


def make(name):
    components = {"prior_components": 5} if name in PRIOR_COMPONENTS else {}
    config, usual = ModelConfig(prior=name, latent_dim=3, **components), make_vae()
    vae = VAE(usual.encoder, usual.decoder, priors.get(name).of_config(config, IMAGE_SHAPE), seed=0)
    vae.build((None, *IMAGE_SHAPE))
    return vae


@pytest.mark.parametrize("jit_compile", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", LEARNED)
def test_it_trains_is_saved_and_trained_further(name, jit_compile, tmp_path):
    vae = make(name)
    vae.compile(FusedAdam(1e-2), jit_compile=jit_compile)
    before = vae.prior.get_weights()
    vae.fit(random_images(32), batch_size=16, epochs=2, verbose=0)
    assert all(np.any(one != other) for one, other in zip(before, vae.prior.get_weights(), strict=True))
    vae.save(tmp_path / "model.keras")
    loaded = load_model(tmp_path / "model.keras")
    z = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)
    np.testing.assert_array_equal(loaded.prior().log_prob(z), vae.prior().log_prob(z))
    np.testing.assert_array_equal(loaded.elbo(random_images(4), [1, 2]), vae.elbo(random_images(4), [1, 2]))
    assert type(loaded.prior) is priors.get(name)
    assert loaded.prior.get_config() == vae.prior.get_config()
    for model in (vae, loaded):
        keras.utils.set_random_seed(0)
        model.fit(random_images(32), batch_size=32, shuffle=False, verbose=0)
    for one, other in zip(loaded.get_weights(), vae.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", LEARNED)
def test_of_a_conditional_model_it_is_learned_for_each_label(name, tmp_path):
    """It is another one for each label after a training, is saved with the model, and exported as it is."""
    components = {"prior_components": 4} if name in PRIOR_COMPONENTS else {}
    config = ModelConfig(architecture="mlp", hidden_units=8, latent_dim=3, prior=name, conditional=True, **components)
    vae = VAE(
        networks.build_encoder(config, IMAGE_SHAPE, 2),
        networks.build_decoder(config, IMAGE_SHAPE, 2),
        priors.get(name).of_config(config, IMAGE_SHAPE, 2),
        seed=0,
    )
    vae.compile(FusedAdam(1e-2), jit_compile=False)
    labels = np.arange(32) % 2
    images = random_images(32) * (0.2 + 0.8 * labels[:, None, None, None]).astype(np.float32)
    vae.fit(images, labels, batch_size=16, epochs=4, verbose=0)
    z = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)
    of_each = [vae.prior(tf.fill([7], tf.constant(label, tf.int64))).log_prob(z).numpy() for label in (0, 1)]
    assert np.abs(of_each[0] - of_each[1]).max() > 1e-3
    assert vae.prior(tf.constant([0, 1, 1], tf.int64)).sample(5, seed=[1, 2]).shape == (5, 3, 3)
    vae.save(tmp_path / "model.keras")
    loaded = load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.prior(tf.fill([7], tf.constant(1, tf.int64))).log_prob(z), of_each[1])
    made = export(vae, tmp_path / "bundle", dataset=DATASET, labels=["a", "b"])
    assert max(made.parity.values()) <= 1e-5
    bundle = Bundle.open(made.path, device="cpu")
    assert np.abs(bundle.sample(4, label="a") - bundle.sample(4, label="b")).max() > 1e-4


@pytest.mark.parametrize("name", PRIORS)
def test_the_components_are_a_setting_of_mixtures(name):
    if name in PRIOR_COMPONENTS:
        assert ModelConfig(prior=name).prior_components == PRIOR_COMPONENTS[name]
        assert make(name).prior.num_components == 5
    else:
        assert ModelConfig(prior=name).prior_components is None
        with pytest.raises(ConfigError, match=f"prior_components.*7 with {name}"):
            ModelConfig(prior=name, prior_components=7)
    config = from_settings({"prior": name})
    assert TrainConfig.from_dict(config.to_dict()) == config


def test_priors_to_fit_afterwards_are_priors():
    assert set(FITTED_PRIORS) < set(PRIORS)


@pytest.mark.parametrize("name", PRIOR_COMPONENTS)
def test_components_that_are_described_but_not_in_the_file_are_refused_before_they_are_made(name, tmp_path):
    make(name).save(tmp_path / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        contents = {member: archive.read(member) for member in archive.namelist()}
    contents["config.json"] = contents["config.json"].replace(b'"num_components": 5', b'"num_components": 5000000')
    with zipfile.ZipFile(tmp_path / "large.keras", "w") as archive:
        for member, content in contents.items():
            archive.writestr(member, content)
    with pytest.raises(KvaeError, match="describes a layer of"):
        load_model(tmp_path / "large.keras")
