"""A decoder's body gives logits: what is refused for certain, what only a warning is given for, and what passes."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from keras import layers
from tiny import make_vae, random_images

from kvae.errors import KvaeError
from kvae.model import logits
from kvae.model.networks import Decoder
from kvae.model.vae import VAE

tfd = tfp.distributions
LATENT = 3


def sequential(*last):
    return keras.Sequential([layers.Dense(8, "relu"), *last])


def functional(activation):
    z = keras.Input((LATENT,))
    pixels = layers.Dense(64, activation)(layers.Dense(8, "relu")(z))
    return keras.Model(z, layers.Reshape((8, 8, 1))(pixels))


BOUNDED = {
    "dense": lambda: sequential(layers.Dense(64, "sigmoid"), layers.Reshape((8, 8, 1))),
    "convolution": lambda: sequential(layers.Reshape((2, 2, 2)), layers.Conv2DTranspose(1, 3, 4, activation="sigmoid")),
    "layer": lambda: sequential(layers.Dense(64), layers.Activation("sigmoid"), layers.Reshape((8, 8, 1))),
    "relu layer": lambda: sequential(layers.Dense(64), layers.Reshape((8, 8, 1)), layers.ReLU()),
    "softmax layer": lambda: sequential(layers.Dense(64), layers.Softmax(), layers.Reshape((8, 8, 1))),
    "nested": lambda: sequential(keras.Sequential([layers.Dense(64, "tanh")]), layers.Reshape((8, 8, 1))),
    "functional": lambda: functional("hard_sigmoid"),
    "functional within": lambda: sequential(functional("softplus")),
    "cropped": lambda: sequential(
        layers.Dense(100, "silu"), layers.Reshape((10, 10, 1)), layers.Cropping2D(1), layers.Dropout(0.1)
    ),
    "own function": lambda: sequential(layers.Dense(64, lambda x: 0.5 * (1 + tf.tanh(x))), layers.Reshape((8, 8, 1))),
    "lambda": lambda: sequential(layers.Dense(64), layers.Lambda(tf.sigmoid), layers.Reshape((8, 8, 1))),
}  # fmt: skip


@pytest.mark.parametrize("name", BOUNDED)
def test_a_body_that_ends_in_an_activation_is_refused_when_the_decoder_is_made(name):
    with pytest.raises(KvaeError, match="gives logits.*Leave that activation out") as raised:
        Decoder(BOUNDED[name]())
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "softmax", "relu", "elu", "gelu", "softplus", "exponential"])
@pytest.mark.parametrize("likelihood", ["bernoulli", "normal"])
def test_the_message_names_the_activation(activation, likelihood):
    with pytest.raises(KvaeError, match=activation):
        Decoder(sequential(layers.Dense(128, activation), layers.Reshape((8, 8, 2))), likelihood)


@pytest.mark.parametrize("activation", [None, "linear", "leaky_relu", lambda x: 2 * x])
def test_a_body_whose_outputs_may_be_any_number_passes(activation):
    logits.check_body(sequential(layers.Dense(64, activation), layers.Reshape((8, 8, 1))))


def test_a_sigmoid_before_the_last_layer_passes():
    logits.check_body(sequential(layers.Dense(9, "sigmoid"), layers.Dense(64), layers.BatchNormalization()))


class Last(layers.Layer):
    """A layer whose inside cannot be seen."""

    def __init__(self, function, **kwargs):
        super().__init__(**kwargs)
        self.hidden = layers.Dense(64)
        self.function = function

    def build(self, input_shape):
        self.hidden.build(input_shape)

    def call(self, z):
        return tf.reshape(self.function(self.hidden(z)), (-1, 8, 8, 1))

    def compute_output_shape(self, input_shape):
        return input_shape[0], 8, 8, 1


class Bits(keras.Model):
    """A decoder that squashes its logits, and is not one of kvae's."""

    def __init__(self):
        super().__init__()
        self.body = None
        self.last = Last(tf.sigmoid)

    def call(self, z):
        return tfd.Independent(tfd.Bernoulli(logits=self.last(z), dtype=tf.float32), 3)


def fitted(decoder):
    keras.utils.set_random_seed(0)
    usual = make_vae()
    vae = VAE(usual.encoder, decoder, usual.prior)
    vae.compile("sgd", jit_compile=False)
    before = vae.get_weights() if vae.built else None
    vae.fit(random_images(4), verbose=0)
    return vae, before


@pytest.mark.parametrize("decoder", [lambda: Decoder(Last(tf.sigmoid)), lambda: Decoder(Last(tf.nn.relu)), Bits])
def test_outputs_of_one_sign_are_refused_before_the_first_step(decoder):
    with pytest.raises(KvaeError, match="gives logits.*codes near and far"):
        fitted(decoder())


def test_outputs_that_stay_between_minus_one_and_one_are_warned_of():
    with pytest.warns(UserWarning, match="tanh"):
        fitted(Decoder(Last(tf.tanh)))


@pytest.mark.parametrize("function", [lambda x: x, lambda x: 0 * x, lambda x: 0 * x + 2.0])
def test_free_outputs_and_those_that_do_not_depend_on_the_code_pass(function):
    """A last layer may begin at zero, or at a bias."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted(Decoder(Last(function)))


def test_a_saved_decoder_of_this_kind_still_opens_but_is_not_trained():
    with logits.trusted():
        decoder = Decoder(BOUNDED["dense"]())
    loaded = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(decoder))
    usual = make_vae()
    vae = VAE(usual.encoder, loaded, usual.prior)
    assert np.isfinite(vae.elbo(random_images(2))).all()
    vae.compile("sgd", jit_compile=False)
    with pytest.raises(KvaeError, match="sigmoid"):
        vae.fit(random_images(4), verbose=0)
