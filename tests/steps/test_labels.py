"""Labels that go into a conditional model: what is read, what is refused, and where."""

from functools import cache, partial

import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny import make_vae, random_images

from kvae.errors import KvaeError
from kvae.steps import FusedAdam, batches, labels
from kvae.steps.example import Example

IMAGES = random_images(12)
LABELS = np.arange(12) % 3
ODD = "not whole numbers, or not one-hot"


def conditional(jit: bool = False, **settings) -> keras.Model:
    vae = make_vae(num_labels=3)
    vae.compile(FusedAdam(1e-3), jit_compile=jit, **settings)
    return vae


@cache
def shared(jit: bool = False) -> keras.Model:
    """A model for tests in which what is wrong is refused, whatever its weights are."""
    return conditional(jit)


@pytest.mark.parametrize(
    "given",
    [
        LABELS, LABELS.astype(np.uint8), LABELS[:, None], LABELS.astype(np.float32), np.eye(3)[LABELS],
        np.eye(3, dtype=bool)[LABELS], LABELS.tolist(),
    ],
    ids=["integers", "bytes", "column", "whole floats", "one-hot", "bools", "list"],
)  # fmt: skip
def test_labels_are_read_as_class_numbers(given):
    found, whole = labels.tensor(given, 3)
    assert found.dtype == tf.int64 and bool(whole)
    np.testing.assert_array_equal(found, LABELS)


def test_bools_are_two_classes():
    for given in ([False, True, True], [[False], [True], [True]]):
        found, whole = labels.tensor(np.array(given), 2)
        assert bool(whole) and found.numpy().tolist() == [0, 1, 1]
    with pytest.raises(KvaeError, match="got bools"):
        labels.tensor(np.array([False, True, True]), 3)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (LABELS + 1, ["from 0 to 2", "numbers from 1 to 3"]),
        (LABELS - 1, ["numbers from -1 to 1"]),
        (LABELS + 0.5, [ODD]),
        (np.ones((12, 3)), [ODD]),
        (np.eye(4)[LABELS], ["one-hot (batch, 3)", "(12, 4)"]),
        (LABELS.astype(str), ["texts", "np.unique"]),
        (LABELS == 1, ["got bools", "False and True", "this model's 3"]),
        (LABELS[:5], ["5 labels for 12 images"]),
        (None, ["conditional", "from 0 to 2", "fit(images, labels)"]),
    ],
    ids=["large", "negative", "fraction", "two-hot", "other one-hot", "text", "bools", "few", "none"],
)
def test_what_are_no_labels_is_refused_before_the_first_step(given, words):
    vae = shared()
    steps = vae.made_steps.numpy()
    for call in (lambda: vae.fit(IMAGES, given, verbose=0), lambda: vae.fit((IMAGES, given), verbose=0)):
        with pytest.raises(KvaeError) as error:
            call()
        assert all(word in str(error.value) for word in words) and "\n" not in str(error.value)
    assert vae.made_steps.numpy() == steps


@pytest.mark.parametrize(
    ("given", "word", "jit"),
    [
        pytest.param(LABELS + 1, "numbers from 0 to 3", False, id="numbers-graph"),
        pytest.param(LABELS + 1, "numbers from 0 to 3", True, id="numbers-XLA"),
        pytest.param(LABELS + 0.5, ODD, False, marks=pytest.mark.exhaustive, id="fractions-graph"),
        pytest.param(LABELS + 0.5, ODD, True, marks=pytest.mark.exhaustive, id="fractions-XLA"),
        pytest.param(np.ones((12, 3)), ODD, False, id="rows-graph"),
        pytest.param(np.ones((12, 3)), ODD, True, marks=pytest.mark.exhaustive, id="rows-XLA"),
    ],
)
def test_a_stream_s_labels_are_checked_in_the_step(given, word, jit):
    vae = shared(jit)
    before = vae.get_weights()
    fine = np.eye(3)[LABELS] if given.ndim == 2 else LABELS.astype(given.dtype)
    wrong, right = (tf.data.Dataset.from_tensor_slices((IMAGES, each)).batch(12) for each in (given, fine))
    with pytest.raises(KvaeError, match="from 0 to 2") as error:
        vae.fit(wrong, shuffle=False, verbose=0)
    assert word in str(error.value)
    for old, new in zip(before, vae.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    vae.fit(right, shuffle=False, verbose=0)  # the record is forgotten


def test_a_stream_without_labels_is_refused():
    with pytest.raises(KvaeError, match="needs the label of each image"):
        conditional().fit(tf.data.Dataset.from_tensor_slices(IMAGES).batch(4), shuffle=False, verbose=0)


def test_every_way_to_give_labels_makes_the_same_step():
    streams = {
        "y": lambda vae: vae.fit(IMAGES, LABELS, batch_size=12, shuffle=False, verbose=0),
        "pair": lambda vae: vae.fit((IMAGES, LABELS), batch_size=12, shuffle=False, verbose=0),
        "one-hot": lambda vae: vae.fit(IMAGES, np.eye(3)[LABELS], batch_size=12, shuffle=False, verbose=0),
        "stream": lambda vae: vae.fit(
            tf.data.Dataset.from_tensor_slices((IMAGES, LABELS)).batch(12), shuffle=False, verbose=0
        ),
        "batch": lambda vae: vae.train_on_batch(IMAGES, LABELS),
    }
    found = {}
    for name, train in streams.items():
        vae = conditional(run_eagerly=True)
        train(vae)
        found[name] = vae.get_weights()
    for name, weights in found.items():
        for one, other in zip(found["y"], weights, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-6, err_msg=name)


def test_columns_after_integers_are_read_though_keras_forgets_their_shape():
    vae = shared()
    vae.fit(IMAGES, LABELS, verbose=0)
    vae.fit(IMAGES, LABELS[:, None], verbose=0)
    vae.fit(IMAGES, np.eye(3)[LABELS], verbose=0)


def test_validation_predict_evaluate_and_calls_take_labels():
    vae = conditional()
    history = vae.fit(IMAGES, LABELS, validation_data=(IMAGES, LABELS), verbose=0).history
    assert set(history) >= {"val_loss", "val_elbo"}
    vae.evaluate(IMAGES, LABELS, verbose=0)
    decoded = vae.predict((IMAGES, LABELS), verbose=0)
    np.testing.assert_allclose(vae((IMAGES, LABELS)), decoded, atol=1e-6)
    np.testing.assert_allclose(vae(Example(tf.constant(IMAGES), tf.constant(LABELS))), decoded, atol=1e-6)
    assert np.abs(vae.predict((IMAGES, (LABELS + 1) % 3), verbose=0) - decoded).max() > 1e-4
    for call in (vae.predict, vae, vae.elbo):
        with pytest.raises(KvaeError, match="conditional"):
            call(IMAGES)
    with pytest.raises(KvaeError, match="numbers from 1 to 3"):
        vae.terms(Example(tf.constant(IMAGES), LABELS + 1))


def test_steps_and_batches_hold_the_labels_of_their_images():
    images = np.arange(10, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 1), np.uint8)
    classes = np.arange(10) * 7
    element = next(iter(batches.steps(images, 4, 2, 0, labels=classes)))
    for step in range(2):
        example = element.example(step)
        pixels = np.rint(example.images.numpy()[:, 0, 0, 0] * 255)
        np.testing.assert_array_equal(example.label, 7 * pixels)
    for found, label in batches.batches(images, 4, labels=classes):
        np.testing.assert_array_equal(label, 7 * np.rint(found.numpy()[:, 0, 0, 0] * 255))
    shares = batches.Shares(2, range(2))
    for seed in (None, 3):
        stream = iter(batches.batches(images, 4, seed, shares=shares, labels=classes))
        for part in (next(stream) for _ in range(4)):
            found, label = (part.images, part.label) if seed is None else part
            np.testing.assert_array_equal(label, 7 * np.rint(found.numpy()[:, 0, 0, 0] * 255))


@pytest.mark.parametrize("dtype", [float, bool])
def test_steps_and_batches_take_integers_alone(dtype):
    images, given = np.zeros((4, 2, 2, 1), np.uint8), np.array([0, 1, 1, 0], dtype)
    for make in (partial(batches.steps, images, 2, 1, 0), partial(batches.batches, images, 2)):
        with pytest.raises(KvaeError, match=f"labels must be integers, one for each image; got {np.dtype(dtype)}"):
            make(labels=given)


def test_without_labels_a_stream_has_the_elements_that_it_had():
    images = np.zeros((10, 2, 2, 1), np.uint8)
    element = next(iter(batches.steps(images, 4, 2, 0)))
    assert element.labels == () and element.example(0).label is None
    assert isinstance(next(iter(batches.batches(images, 4))), tf.Tensor)


def test_a_model_without_labels_warns_of_them_and_refuses_y():
    vae = make_vae()
    vae.compile(FusedAdam(1e-3), run_eagerly=True)
    with pytest.warns(UserWarning, match="labels are not used"):
        vae.fit((IMAGES, LABELS), verbose=0)
    with pytest.raises(KvaeError, match="y is not used"):
        vae.fit(IMAGES, LABELS, verbose=0)
