"""A model that is loaded trains further: a run's schedule has ended at 0, and any other is the user's."""

import keras
import numpy as np
import pytest
from tiny import make_vae, random_images

from kvae.errors import KvaeError
from kvae.steps import schedules
from kvae.steps.optimizers import FusedAdam
from kvae.training import load_model

IMAGES = random_images(40)
STEPS = 8
"""Of two epochs in batches of 10."""


def trained(optimizer, epochs=2):
    vae = make_vae()
    vae.compile(optimizer=optimizer, jit_compile=False)
    vae.fit(IMAGES, batch_size=10, epochs=epochs, verbose=0)
    return vae


def stepped(optimizer, epochs=2):
    """A model as after these epochs, for what depends on its optimizer alone: a training would take seconds."""
    vae = make_vae()
    vae.compile(optimizer=optimizer, jit_compile=False)
    optimizer.build(vae.trainable_variables)
    rng = np.random.default_rng(0)
    for variable in optimizer.variables:
        if variable.ndim:
            variable.assign(1e-3 * rng.random(variable.shape))
    optimizer.iterations.assign(4 * epochs)
    return vae


def saved(tmp_path, optimizer, epochs=2):
    vae = stepped(optimizer, epochs)
    vae.save(tmp_path / "model.keras")
    return vae, tmp_path / "model.keras"


def moved(vae, **settings):
    """How far a further fit moves the weights."""
    before = [weight.copy() for weight in vae.get_weights()]
    vae.fit(IMAGES, batch_size=10, verbose=0, **settings)
    return max(np.abs(one - other).max() for one, other in zip(before, vae.get_weights(), strict=True))


@pytest.mark.parametrize("warmup", [0, 3])
def test_the_schedule_is_keras_s_cosine(warmup):
    """The rate grows to its peak, and falls along half a cosine to 0 at the last step."""
    schedule = schedules.run_cosine(0.1, 20, warmup)
    steps = np.arange(21)
    falling = 0.05 * (1 + np.cos(np.pi * np.clip((steps - warmup) / (20 - warmup), 0, 1)))
    expected = np.where(steps < warmup, 0.1 * steps / max(warmup, 1), falling)
    np.testing.assert_allclose([float(schedule(step)) for step in steps], expected, rtol=1e-4, atol=1e-7)


WAYS = [
    (load, epochs, warmup) for load in (load_model, keras.models.load_model) for epochs in (1, 2) for warmup in (0, 3)
]
SOME = [(load_model, 1, 0), (load_model, 2, 3), (keras.models.load_model, 2, 0), (keras.models.load_model, 1, 3)]
"""Each value with each of every other; all combinations are exhaustive."""


@pytest.mark.parametrize(
    ("load", "epochs", "warmup"),
    [*SOME, *(pytest.param(*way, marks=pytest.mark.exhaustive) for way in WAYS if way not in SOME)],
)
def test_a_run_s_model_goes_on_with_a_constant_rate(tmp_path, load, epochs, warmup):
    """Saved in the middle of its schedule or at its end, loaded by kvae or by Keras; its moments are kept."""
    before, path = saved(tmp_path, FusedAdam(schedules.run_cosine(0.01, STEPS, warmup)), epochs)
    vae = load(path)
    assert float(vae.optimizer.learning_rate) == pytest.approx(0.01)
    assert int(vae.optimizer.iterations) == 4 * epochs
    ours, theirs = (model.optimizer.variables[-1].numpy() for model in (vae, before))
    np.testing.assert_array_equal(ours, theirs)
    assert moved(vae, epochs=5) > 1e-3
    assert float(vae.optimizer.learning_rate) == pytest.approx(0.01)
    vae.optimizer.learning_rate = 0.0
    assert moved(vae) == 0.0


def test_the_constant_rate_is_saved_again(tmp_path):
    _, path = saved(tmp_path, FusedAdam(schedules.run_cosine(0.01, STEPS)))
    vae = load_model(path)
    vae.fit(IMAGES, batch_size=10, verbose=0)
    vae.save(tmp_path / "again.keras")
    again = load_model(tmp_path / "again.keras")
    assert float(again.optimizer.learning_rate) == pytest.approx(0.01)
    for one, other in zip(again.optimizer.variables, vae.optimizer.variables, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())


def test_a_run_from_before_the_schedule_had_a_name_moves_too(tmp_path):
    _, path = saved(tmp_path, FusedAdam(keras.optimizers.schedules.CosineDecay(0.01, STEPS)))
    vae = load_model(path)
    assert float(vae.optimizer.learning_rate) == pytest.approx(0.01)
    assert moved(vae) > 1e-3


@pytest.mark.parametrize(
    "optimizer",
    [
        keras.optimizers.SGD(0.5),
        keras.optimizers.Adam(keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5)),
        FusedAdam(keras.optimizers.schedules.CosineDecay(0.1, 100)),
        FusedAdam(keras.optimizers.schedules.CosineDecay(0.1, 1, alpha=0.1)),
    ],
    ids=["a constant", "another schedule", "its middle", "an end above 0"],
)
def test_what_the_user_compiled_is_kept(tmp_path, optimizer):
    optimizer = type(optimizer).from_config(optimizer.get_config())
    before, path = saved(tmp_path, optimizer)
    vae = load_model(path)
    assert type(vae.optimizer) is type(before.optimizer)
    assert vae.optimizer.get_config() == before.optimizer.get_config()
    assert float(vae.optimizer.learning_rate) == pytest.approx(float(before.optimizer.learning_rate))
    assert moved(vae) > 0


@pytest.mark.parametrize("optimizer", [FusedAdam, keras.optimizers.Adam])
def test_fit_refuses_a_rate_that_is_over(optimizer):
    """In one process too, without a file: nothing would move, and nothing would say so."""
    vae = stepped(optimizer(keras.optimizers.schedules.CosineDecay(0.01, STEPS)))
    with pytest.raises(KvaeError, match="the learning rate is 0: its schedule ended before step 8.*Compile"):
        vae.fit(IMAGES, batch_size=10, verbose=0)
    vae.compile(optimizer="adam", jit_compile=False)
    assert moved(vae) > 0


def test_a_warm_up_from_0_is_not_the_end():
    assert moved(trained(FusedAdam(schedules.run_cosine(0.01, 100, 50)))) > 0


def test_a_copy_made_by_keras_is_compiled_by_the_user():
    vae = stepped(FusedAdam(schedules.run_cosine(0.01, STEPS)))
    copy = keras.models.clone_model(vae)
    copy.build((None, 8, 8, 1))
    copy.set_weights(vae.get_weights())
    copy.compile(optimizer=FusedAdam(1e-2), jit_compile=False)
    assert moved(copy) > 1e-3


SCHEDULES = keras.optimizers.schedules


@pytest.mark.parametrize(
    "schedule", [SCHEDULES.ExponentialDecay(1e-3, 1, 0.1), SCHEDULES.PolynomialDecay(1e-3, 9, 1e-12)]
)
def test_a_schedule_that_has_fallen_to_nearly_zero_is_warned_of(schedule):
    vae = stepped(FusedAdam(schedule), epochs=1)
    vae.optimizer.iterations.assign(20)
    with pytest.warns(UserWarning, match="has fallen to 1e-.* by step 20 .*Compile the model again"):
        assert moved(vae) < 1e-7


def test_a_warm_up_begins_with_a_tiny_rate_and_is_not_warned_of():
    trained(FusedAdam(keras.optimizers.schedules.CosineDecay(1e-12, 100, warmup_target=0.1, warmup_steps=10)))


@pytest.mark.parametrize("rate", [-1.0, float("nan"), float("inf")])
def test_a_rate_that_is_none_is_refused(rate):
    with pytest.raises(KvaeError, match=f"learning rate must be a finite number of at least 0; got {rate:g}"):
        trained(FusedAdam(rate))
