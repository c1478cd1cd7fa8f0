"""Whatever is set on a model takes effect in the next step, also where steps were compiled, or setting it raises."""

import keras
import numpy as np
import pytest
from keras import layers
from tiny import make_vae, random_images

from kvae.errors import KvaeError
from kvae.model.networks import Encoder
from kvae.model.objectives import ELBO
from kvae.model.vae import VAE
from kvae.steps import traced

pytestmark = pytest.mark.slow

X = random_images(8)


def trained(optimizer=None, jit_compile=False):
    """A model whose steps are compiled and were used."""
    keras.utils.set_random_seed(0)
    body = keras.Sequential(
        [layers.Flatten(), layers.Dense(8, "relu", name="hidden"), layers.Dropout(0.1, name="drop")]
    )
    usual = make_vae()
    vae = VAE(Encoder(body, 3), usual.decoder, usual.prior, seed=0)
    vae.compile(optimizer or keras.optimizers.SGD(0.1), jit_compile=jit_compile)
    vae.fit(X, verbose=0)
    vae.evaluate(X, verbose=0)
    return vae


def moved(vae, part=None):
    """Whether a fit changes the weights of a part."""
    weights = (part or vae).get_weights
    before = weights()
    vae.fit(X, verbose=0)
    return any(np.any(one != other) for one, other in zip(before, weights(), strict=True))


def hidden(vae):
    return vae.encoder.body.get_layer("hidden")


STILL = {
    "model": lambda vae: setattr(vae, "trainable", False),
    "rate": lambda vae: setattr(vae.optimizer, "learning_rate", 0.0),
    "schedule": lambda vae: setattr(
        vae.optimizer, "learning_rate", keras.optimizers.schedules.ExponentialDecay(1e-30, 1, 0.5)
    ),
    "optimizer": lambda vae: setattr(vae, "optimizer", keras.optimizers.SGD(0.0)),
    "clipvalue": lambda vae: setattr(vae.optimizer, "clipvalue", 1e-30),
    "clipnorm": lambda vae: setattr(vae.optimizer, "clipnorm", 1e-30),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:the learning rate has fallen")
@pytest.mark.parametrize("name", STILL)
def test_a_setting_that_holds_the_weights_still_takes_effect_between_two_fits(name):
    vae = trained()
    assert moved(vae)
    STILL[name](vae)
    assert not moved(vae)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_setting_takes_effect_in_a_callback(jit_compile):
    vae = trained(jit_compile=jit_compile)
    seen = []

    class Freeze(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            seen.append(self.model.encoder.get_weights()[0])
            self.model.encoder.trainable = epoch < 1

    vae.fit(X, epochs=3, verbose=0, callbacks=[Freeze()])
    assert np.any(seen[0] != seen[1])
    np.testing.assert_array_equal(seen[1], seen[2])


def test_a_layer_is_frozen_and_trained_again():
    vae = trained()
    hidden(vae).trainable = False
    assert not moved(vae, hidden(vae)) and moved(vae, vae.decoder)
    hidden(vae).trainable = True
    assert moved(vae, hidden(vae))


def test_variables_that_the_optimizer_does_not_know_are_refused():
    vae = trained()
    vae.encoder.trainable = False
    vae.compile(keras.optimizers.SGD(0.1), jit_compile=False)
    vae.fit(X, verbose=0)
    vae.encoder.trainable = True
    with pytest.raises(KvaeError, match="compile again"):
        vae.fit(X, verbose=0)


@pytest.fixture(scope="module")
def unchanged():
    """The loss of the next fit if nothing is set."""
    losses = [trained(keras.optimizers.SGD(0.0)).fit(X, verbose=0).history["loss"] for _ in range(2)]
    assert losses[0] == losses[1]
    return losses[0]


@pytest.mark.parametrize(
    "change",
    [
        lambda vae: setattr(vae.encoder.body.get_layer("drop"), "rate", 0.9),
        lambda vae: setattr(hidden(vae), "activation", keras.activations.tanh),
        lambda vae: setattr(vae, "objective", ELBO(beta=3.0)),
        lambda vae: setattr(vae, "beta", 3.0),
    ],
)
def test_a_setting_of_a_layer_or_of_the_objective_changes_the_loss(change, unchanged):
    vae = trained(keras.optimizers.SGD(0.0))
    change(vae)
    assert vae.fit(X, verbose=0).history["loss"] != unchanged


def test_how_a_step_runs_takes_effect():
    vae = trained()
    for name, value in (
        ("jit_compile", True),
        ("jit_compile", False),
        ("run_eagerly", True),
        ("steps_per_execution", 2),
    ):
        before = traced.settings(vae)
        setattr(vae, name, value)
        assert traced.settings(vae) != before
        assert np.isfinite(vae.fit(X, verbose=0).history["loss"][0])


def test_a_step_is_not_traced_again_if_nothing_is_set(monkeypatch):
    vae = make_vae()
    vae.compile(keras.optimizers.Adam(1e-3), jit_compile=False)
    traces = []
    measure = vae.measure
    monkeypatch.setattr(vae, "measure", lambda *arguments, **named: traces.append(1) or measure(*arguments, **named))
    vae.fit(X, epochs=4, batch_size=4, validation_data=(X,), verbose=0)
    vae.predict(X, verbose=0)
    traces.clear()  # an optimizer that makes its variables is traced twice
    vae.optimizer.learning_rate = 1e-4
    vae.beta = 0.5
    vae.fit(X, epochs=2, batch_size=4, validation_data=(X,), verbose=0)
    assert traces == []


@pytest.fixture(scope="module")
def model():
    """A model that the tests leave as it is."""
    return trained()


@pytest.mark.parametrize(
    "name",
    ["encoder", "decoder", "prior", "seed", "latent_dim", "entropy_weight", "warmup_steps", "clipnorm", "weight_decay"],
)
def test_what_cannot_be_set_on_a_model_raises(name, model):
    with pytest.raises((KvaeError, AttributeError), match=name):
        setattr(model, name, 1)


def test_the_learning_rate_is_the_optimizer_s():
    with pytest.raises(KvaeError, match="learning_rate.*optimizer"):
        trained().learning_rate = 0.1


def test_a_field_of_the_objective_and_a_layer_of_the_encoder_raise():
    vae = make_vae()
    with pytest.raises(KvaeError, match="Set vae.beta instead"):
        vae.objective.beta = 2.0
    for name in ("body", "latent_dim", "loc", "raw_scale"):
        with pytest.raises(KvaeError, match=name):
            setattr(vae.encoder, name, layers.Dense(3))


def test_an_attribute_of_your_own_can_be_set():
    vae = make_vae()
    vae.remark = "mine"
    assert vae.remark == "mine"
