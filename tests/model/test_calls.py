"""Networks that do not fit are named in one line, before anything is trained; and no layer trains by itself."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from keras import layers
from tiny import OwnDecoder, OwnEncoder, make_vae, random_images

from kvae.errors import KvaeError
from kvae.model.networks import Decoder, Encoder
from kvae.model.priors import Prior, StandardNormal
from kvae.model.vae import VAE

tfd = tfp.distributions
X = random_images(6)


class Tensors(keras.Model):
    """A network of the kind that other tutorials use."""

    def call(self, inputs):
        return tf.reshape(inputs, (-1, 64))[:, :3], tf.reshape(inputs, (-1, 64))[:, 3:6]


def features():
    return keras.Sequential([layers.Flatten(), layers.Dense(8)])


def pixels(count, *shape):
    return keras.Sequential([layers.Dense(count), *([layers.Reshape(shape)] if shape else [])])


UNFIT = {
    "encoder of tensors": (lambda u: (features(), u.decoder, u.prior), ["encoder", "Sequential", "kvae.model.Encoder"]),
    "decoder of tensors": (lambda u: (u.encoder, u.decoder.body, u.prior), ["decoder", "kvae.model.Decoder"]),
    "encoder of two tensors": (lambda u: (Tensors(), u.decoder, u.prior), ["encoder", "tuple", "kvae.model.Encoder"]),
    "encoder of one kind": (lambda u: (lambda x: x, u.decoder, u.prior), ["encoder", "function", "keras.Model"]),
    "prior of another kind": (lambda u: (u.encoder, u.decoder, "normal"), ["prior", "str"]),
    "codes and prior": (lambda u: (Encoder(features(), 5), u.decoder, u.prior), ["5", "3", "latent_dim"]),
    "own codes and prior": (lambda u: (OwnEncoder(5), u.decoder, u.prior), ["5", "3", "latent_dim"]),
    "codes and decoder": (lambda u: (Encoder(features(), 5), u.decoder, StandardNormal(5)), ["decoder", "codes", "5"]),
    "one channel for two parameters": (
        lambda u: (u.encoder, Decoder(pixels(64, 8, 8, 1), "normal"), u.prior), ["normal", "channels * 2", "8, 8, 1"]
    ),
    "four channels for two parameters": (
        lambda u: (u.encoder, Decoder(pixels(256, 8, 8, 4), "normal"), u.prior), ["(8, 8, 1)", "(8, 8, 2)"]
    ),
    "another size": (lambda u: (u.encoder, Decoder(pixels(36, 6, 6, 1)), u.prior), ["(8, 8, 1)", "(6, 6, 1)"]),
    "flat outputs": (lambda u: (u.encoder, Decoder(pixels(64)), u.prior), ["Reshape", "64"]),
    "features that are not flat": (
        lambda u: (Encoder(keras.Sequential([layers.Conv2D(2, 3)]), 3), u.decoder, u.prior), ["Flatten", "6, 6, 2"]
    ),
    "images of another size": (
        lambda u: (Encoder(keras.Sequential([keras.Input((9, 9, 1)), layers.Flatten()]), 3), u.decoder, u.prior),
        ["encoder", "images", "(8, 8, 1)"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", UNFIT)
def test_a_network_that_does_not_fit_is_named(name):
    make, facts = UNFIT[name]
    usual = make_vae()
    for use in (lambda vae: vae.elbo(X), lambda vae: vae(X), lambda vae: vae.fit(X, verbose=0)):
        with pytest.raises(KvaeError) as raised:
            vae = VAE(*make(usual))
            vae.compile("sgd", jit_compile=False)
            use(vae)
        message = str(raised.value)
        assert "\n" not in message and all(fact in message for fact in facts), message


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float64"])
def test_a_global_dtype_policy_trains_kvae_s_networks_and_names_others(policy):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        vae = make_vae()
        vae.compile("sgd", jit_compile=False)
        assert np.isfinite(vae.fit(X, verbose=0).history["elbo"][0])
        assert vae(X).dtype == tf.float32
        own = VAE(OwnEncoder(3), OwnDecoder(), StandardNormal(3))
        with pytest.raises(KvaeError, match="encoder.*float.*tf.cast"):
            own.elbo(X)
    finally:
        keras.config.set_dtype_policy(before)


def test_weights_in_half_precision_are_not_trained():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float16")
    try:
        vae = make_vae()
        vae.compile("sgd", jit_compile=False)
        with pytest.raises(KvaeError, match="mixed_float16"):
            vae.fit(X, verbose=0)
    finally:
        keras.config.set_dtype_policy(before)


class Eager(layers.Layer):
    """A layer whose own default is to train."""

    def call(self, inputs, training=True):
        return inputs + 1.0 if training else inputs


RANDOM = {
    "RandomFlip": lambda: layers.RandomFlip(seed=1),
    "RandomTranslation": lambda: layers.RandomTranslation(0.5, 0.5, seed=1),
    "GaussianNoise": lambda: layers.GaussianNoise(1.0, seed=1),
    "Dropout": lambda: layers.Dropout(0.5, seed=1),
    "BatchNormalization": layers.BatchNormalization,
    "own": Eager,
}


@pytest.mark.parametrize("name", RANDOM)
def test_a_layer_that_acts_in_training_acts_there_alone(name):
    """The encoder, and the decoder, called directly or by the model, give what they give without the layer."""
    keras.utils.set_random_seed(0)
    plain, last = features(), pixels(64, 8, 8, 1)
    encoder = Encoder(keras.Sequential([RANDOM[name](), plain]), 3)
    inner = RANDOM["Dropout"]() if name.startswith("Random") else RANDOM[name]()
    vae = VAE(encoder, Decoder(keras.Sequential([inner, last])), StandardNormal(3))
    vae.build((None, 8, 8, 1))
    vae.compile(keras.optimizers.SGD(0.0), jit_compile=False)
    before = vae.get_weights()
    scale = 1 / np.sqrt(1 + 1e-3) if name == "BatchNormalization" else 1.0
    loc = encoder.loc(plain(X * scale)).numpy()
    np.testing.assert_allclose(vae.encoder(X).mean(), loc, rtol=1e-4, atol=1e-6)
    mean = tf.sigmoid(last(loc * np.float32(scale))).numpy()
    for found in (vae.decoder(loc).mean(), vae(X), vae.predict(X, verbose=0), vae.predict_on_batch(X)):
        np.testing.assert_allclose(found, mean, rtol=1e-4)
    np.testing.assert_array_equal(vae.elbo(X, [1, 2]), vae.elbo(X, [1, 2]))
    assert vae.evaluate(X, verbose=0, return_dict=True)["rate"] == pytest.approx(np.mean(vae.terms(X).rate), rel=1e-4)
    for one, other in zip(before, vae.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    rate = vae.fit(X, verbose=0).history["rate"][0]
    assert rate != pytest.approx(float(np.mean(vae.terms(X).rate)), rel=1e-5) or name.startswith("Random")


class Raw(layers.Layer):
    """A layer with a variable that Keras does not see."""

    def __init__(self):
        super().__init__()
        self.scale = tf.Variable(1.0)

    def call(self, inputs):
        return inputs * self.scale


def test_a_variable_that_would_not_be_trained_is_refused():
    usual = make_vae()
    vae = VAE(Encoder(keras.Sequential([features(), Raw()]), 3), usual.decoder, usual.prior)
    with pytest.raises(KvaeError, match="Raw.scale.*add_weight"):
        vae.elbo(X)


# Priors with variables: trained, saved, and drawn from the seed alone


def mixture():
    return tfd.MixtureSameFamily(
        tfd.Categorical(logits=tf.Variable([0.0, 0.5])),
        tfd.MultivariateNormalDiag(tf.Variable([[1.0] * 3, [-1.0] * 3]), tf.ones((2, 3))),
    )


class Moved(Prior):
    """A prior with a variable of TensorFlow."""

    def __init__(self, latent_dim, **kwargs):
        super().__init__(latent_dim, **kwargs)
        self.loc = tf.Variable(tf.ones(latent_dim))

    def call(self, label=None):
        return tfd.MultivariateNormalDiag(self.loc, tf.ones(self.latent_dim))


class Within(Moved):
    """The same, with the distribution as its attribute."""

    def __init__(self, latent_dim, **kwargs):
        super().__init__(latent_dim, **kwargs)
        self.distribution = tfd.Independent(tfd.Laplace(tf.Variable(tf.ones(latent_dim)), 1.0), 1)

    def call(self, label=None):
        return self.distribution


PRIORS = {
    "variable": (lambda: tfd.MultivariateNormalDiag(tf.Variable(tf.ones(3)), tf.ones(3)), 1),
    "two variables": (
        lambda: tfd.Independent(tfd.StudentT(5.0, tf.Variable(tf.ones(3)), tf.Variable(tf.ones(3))), 1),
        2,
    ),
    "mixture": (mixture, 2),
    "subclass": (lambda: Moved(3), 1),
    "a distribution within": (lambda: Within(3), 2),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:Gradients do not exist")  # of a variable that a prior does not use
@pytest.mark.parametrize(
    ("name", "jit_compile"),
    [
        *((name, False) for name in PRIORS),
        ("mixture", True),
        *(pytest.param(name, True, marks=pytest.mark.exhaustive) for name in PRIORS if name != "mixture"),
    ],
)
def test_the_variables_of_a_prior_are_trained_and_its_draws_come_from_the_seed(name, jit_compile):
    make, count = PRIORS[name]
    usual = make_vae()
    vae = VAE(usual.encoder, usual.decoder, make(), seed=0)
    vae.compile(keras.optimizers.SGD(0.1), jit_compile=jit_compile)
    assert len(vae.prior.trainable_variables) == count
    before = [variable.numpy() for variable in vae.prior.trainable_variables]
    vae.fit(X, verbose=0)
    moved = [np.any(one != other) for one, other in zip(before, vae.prior.trainable_variables, strict=True)]
    assert sum(moved) == count - (name == "a distribution within")  # whose parent's variable is not used
    for first, second in zip(vae.terms(X, [1, 2]), vae.terms(X, [1, 2]), strict=True):
        np.testing.assert_array_equal(first, second)


def test_a_trained_mixture_is_saved_and_goes_on_training(tmp_path):
    usual = make_vae()
    vae = VAE(usual.encoder, usual.decoder, mixture(), seed=0)
    vae.compile(keras.optimizers.SGD(0.1), jit_compile=False)
    vae.fit(X, verbose=0)
    vae.save(tmp_path / "mixture.keras")
    loaded = keras.models.load_model(tmp_path / "mixture.keras")
    np.testing.assert_array_equal(loaded.terms(X, [1, 2]).rate, vae.terms(X, [1, 2]).rate)
    before = loaded.prior.trainable_variables[0].numpy()
    loaded.fit(X, verbose=0)
    assert np.any(before != loaded.prior.trainable_variables[0].numpy())


def test_a_variable_behind_a_bijector_cannot_be_saved_and_is_refused_at_once():
    scale = tfp.util.TransformedVariable(tf.ones(3), tfp.bijectors.Softplus())
    usual = make_vae()
    with pytest.raises(KvaeError, match="variables.*kvae.model.Prior"):
        VAE(usual.encoder, usual.decoder, tfd.MultivariateNormalDiag(tf.zeros(3), scale))


# Data that is not in [0, 1]


class Line(keras.Model):
    """A decoder whose mean may be any number."""

    def __init__(self):
        super().__init__()
        self.mean = keras.Sequential([layers.Dense(7), layers.Reshape((1, 7, 1))])

    def call(self, z):
        return tfd.Independent(tfd.Normal(self.mean(z), 1.0), 3)


def test_a_table_of_any_numbers_trains_with_a_decoder_made_for_it():
    """And is refused by one whose mean stays in [0, 1]."""
    table = np.random.default_rng(0).normal(5.0, 3.0, (20, 7)).astype(np.float32)
    vae = VAE(Encoder(features(), 2), Line(), StandardNormal(2))
    vae.compile("adam", jit_compile=False)
    assert np.isfinite(vae.fit(table, verbose=0).history["loss"][0])
    assert vae.predict(table, verbose=0).shape == (20, 1, 7, 1)
    with pytest.raises(KvaeError, match="NaN"):
        vae.elbo(table * np.nan)
    with pytest.raises(KvaeError, match=r"\[0, 1\]"):
        VAE(OwnEncoder(3), OwnDecoder(), StandardNormal(3)).elbo(X * 255)
    with pytest.raises(KvaeError, match=r"\[0, 1\]"):
        VAE(Encoder(features(), 2), Decoder(pixels(7, 1, 7, 1)), StandardNormal(2)).elbo(table)


def test_a_table_does_not_fit_a_model_of_images():
    conv = make_vae(architecture="conv")
    with pytest.raises(KvaeError, match=r"\(batch, 8, 8, 1\); got \(6, 7\)"):
        conv.elbo(np.full((6, 7), 0.5, np.float32))
