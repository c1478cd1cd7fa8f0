"""What goes into a model: what is refused, the facts in the message, and where each check acts."""

from functools import cache

import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny import make_vae, random_images

from kvae.errors import KvaeError
from kvae.steps import inputs
from kvae.steps.batches import steps

SHAPE = (8, 8, 1)
X = random_images(24)
OUTSIDE = [
    (X * 255, ["from 0", "to 25", "float", "x / 255"]),
    (X * 65535, ["x / 65535"]),
    (X * 2 - 1, ["from -0.9", "to 0.9", "(x + 1) / 2"]),
    (X - 0.5, ["x + 0.5"]),
    ((X - X.mean()) / X.std(), ["from -1.7", "x * std + mean"]),
    (X * 1e6, ["(x - x.min()) / (x.max() - x.min())"]),
    (np.where(X > 0.5, np.nan, X), ["NaN"]),
    (np.where(X > 0.5, np.inf, X), ["infinity"]),
]


def compiled(jit_compile=False, **settings):
    vae = make_vae()
    vae.compile(keras.optimizers.SGD(1e-3), jit_compile=jit_compile, **settings)
    return vae


@cache
def shared(jit_compile=False):
    """A compiled model for what is refused before it changes anything."""
    return compiled(jit_compile)


def refusal(call):
    with pytest.raises(KvaeError) as raised:
        call()
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize("index", range(len(OUTSIDE)))
def test_the_message_for_a_range_says_what_was_seen_and_the_repair(index):
    images, facts = OUTSIDE[index]
    message = refusal(lambda: inputs.check_array(images))
    for fact in ["[0, 1]", "(24, 8, 8, 1)", *facts]:
        assert fact in message


@pytest.mark.parametrize(
    ("images", "facts"),
    [
        ((X * 255).astype(np.uint8), ["uint8 from 0 to 25", "x.astype('float32') / 255"]),
        ((X * 65535).astype(np.uint16), ["uint16", "/ 65535"]),
        ((X * 255).astype(np.int64), ["int64", "/ 255"]),
        ((X > 0.5).astype(np.uint8), ["uint8 from 0 to 1", "Cast", "x.astype('float32')"]),
        (X > 0.5, ["bool", "Cast"]),
        (X.astype(np.complex64), ["complex64"]),
        (X.astype(str), ["<U", "numbers"]),
        (X.astype(object), ["object", "numbers"]),
        (X[:0], ["no images", "(0, 8, 8, 1)"]),
    ],
)
def test_the_message_for_a_dtype_says_it_and_the_repair(images, facts):
    message = refusal(lambda: inputs.check_array(images, SHAPE)).replace("str", "<U")
    assert all(fact in message for fact in facts), message


@pytest.mark.parametrize(
    ("shape", "expected", "repair"),
    [
        ((5, 8, 8), (8, 8, 1), "x[..., None]"),
        ((5, 28, 28), None, "x[..., None]"),
        ((8, 8, 1), (8, 8, 1), "x[None]"),
        ((32, 32, 3), None, "x[None]"),
        ((5, 3, 8, 9), (8, 9, 3), "np.moveaxis(x, 1, -1)"),
        ((5, 1, 8, 8), (8, 8, 1), "np.moveaxis(x, 1, -1)"),
        ((5, 3, 32, 32), None, "np.moveaxis(x, 1, -1)"),
        ((5, 1, 28, 28), None, "np.moveaxis(x, 1, -1)"),
        ((5, 64), (8, 8, 1), "x.reshape(-1, 8, 8, 1)"),
        ((5, 8, 8, 3), (8, 8, 1), "grey"),
        ((5, 8, 8, 1), (8, 8, 3), "np.repeat(x, 3, axis=-1)"),
        ((5, 8, 8, 4), (8, 8, 3), "x[..., :3]"),
        ((5, 9, 9, 1), (8, 8, 1), "Resize"),
        ((5, 7), (8, 8, 1), "(5, 7)"),
        ((5,), None, "(5,)"),
        ((2, 5, 8, 8, 1), (8, 8, 1), "(2, 5, 8, 8, 1)"),
    ],
)
def test_the_message_for_a_shape_says_both_and_the_repair(shape, expected, repair):
    images = np.full(shape, 0.5, np.float32)
    for check in (inputs.check_array, inputs.tensor):
        message = refusal(lambda check=check: check(images, expected))
        assert repair in message and str(shape) in message and ", ".join(map(str, expected or ["channels"])) in message


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "bfloat16"])
def test_floats_of_any_precision_are_images(dtype):
    images = tf.cast(X, dtype)
    inputs.check_array(images, SHAPE)
    assert inputs.tensor(images, SHAPE).dtype == tf.float32


def test_the_last_digit_of_a_resize_is_within_the_range():
    inputs.check_values(np.array([[-1e-7, 1 + 1e-6]], np.float32))


def test_a_table_is_images_of_one_row():
    table = X.reshape(24, 64)
    assert inputs.tensor(table).shape == (24, 1, 64, 1)
    assert inputs.tensor(table, (1, 64, 1)).shape == (24, 1, 64, 1)


def test_an_array_on_disk_is_checked_to_its_end(tmp_path):
    images = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.float32, (9000, 2, 2, 1))
    inputs.check_array(images)
    images[-1, -1, -1, -1] = 7
    assert "to 7" in refusal(lambda: inputs.check_array(images))


# Every way into a model

WAYS = {
    "fit": lambda vae, x: vae.fit(x, verbose=0),
    "evaluate": lambda vae, x: vae.evaluate(x, verbose=0),
    "predict": lambda vae, x: vae.predict(x, verbose=0),
    "call": lambda vae, x: vae(x),
    "encoder": lambda vae, x: vae.encoder(x),
    "terms": lambda vae, x: vae.terms(x),
    "elbo": lambda vae, x: vae.elbo(x),
    "train_on_batch": lambda vae, x: vae.train_on_batch(x),
    "test_on_batch": lambda vae, x: vae.test_on_batch(x),
    "predict_on_batch": lambda vae, x: vae.predict_on_batch(x),
    "validation_data": lambda vae, x: vae.fit(X, validation_data=(x,), verbose=0),
    "validation_data without a tuple": lambda vae, x: vae.fit(X, validation_data=x, verbose=0),
}


@pytest.mark.parametrize(
    ("way", "jit_compile"), [*((way, False) for way in WAYS), ("fit", True), ("evaluate", True), ("predict", True)]
)
def test_levels_are_refused_on_every_way_into_a_model(way, jit_compile):
    vae = shared(jit_compile)
    before = vae.get_weights()
    assert "x / 255" in refusal(lambda: WAYS[way](vae, X * 255))
    for one, other in zip(before, vae.get_weights(), strict=True):
        if way not in ("validation_data", "validation_data without a tuple"):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("way", [name for name in WAYS if name != "encoder"])
def test_integers_shapes_and_channel_order_are_refused_on_every_way_into_a_model(way):
    vae = shared()
    assert "uint8" in refusal(lambda: WAYS[way](vae, (X * 255).astype(np.uint8)))
    assert "x[..., None]" in refusal(lambda: WAYS[way](vae, X[..., 0]))
    assert "np.moveaxis(x, 1, -1)" in refusal(lambda: WAYS[way](vae, np.moveaxis(X, -1, 1)))
    assert "NaN" in refusal(lambda: WAYS[way](vae, X * np.nan))


@pytest.mark.parametrize("way", ["fit", "call", "terms", "predict"])
def test_a_model_that_is_not_built_refuses_the_same(way):
    built = make_vae()
    for images, fact in ((X * 255, "255"), (X[..., 0], "x[..., None]"), (np.moveaxis(X, -1, 1), "np.moveaxis")):
        vae = type(built)(make_vae().encoder, make_vae().decoder, make_vae().prior)
        vae.compile("sgd", jit_compile=False)
        assert fact in refusal(lambda vae=vae, images=images: WAYS[way](vae, images))


def stream(images, kind):
    """The images in batches of 4, as a user may have them."""
    dataset = tf.data.Dataset.from_tensor_slices(images).batch(4)
    if kind == "dataset":
        return dataset
    if kind == "without a shape":
        return tf.data.Dataset.from_generator(lambda: iter(np.split(images, 6)), output_types=tf.float32)
    if kind == "generator":
        return ((part,) for part in np.split(images, 6))

    class Parts(keras.utils.PyDataset):
        def __len__(self):
            return 6

        def __getitem__(self, index):
            return images[4 * index : 4 * index + 4]

    return Parts()


@pytest.mark.parametrize(
    ("kind", "steps_per_execution", "jit_compile"),
    [
        ("dataset", 1, False), pytest.param("dataset", 3, False, marks=pytest.mark.exhaustive), ("dataset", 3, True),
        ("generator", 1, True), ("PyDataset", 1, False), ("without a shape", 1, False),
    ],
)  # fmt: skip
def test_a_later_batch_of_a_stream_is_found_and_not_trained_on(kind, steps_per_execution, jit_compile):
    """Only the batches before it, and in the same call after it, move the weights; they stay finite."""
    vae = compiled(jit_compile, steps_per_execution=steps_per_execution)
    images = X.copy()
    images[17] *= 255
    message = refusal(lambda: vae.fit(stream(images, kind), shuffle=False, verbose=0))
    assert f"to {images.max():g}" in message and "x / 255" in message
    assert [number for number, _ in vae.skips.since(0)] == [4]
    assert all(np.isfinite(weight).all() for weight in vae.get_weights())
    if jit_compile:
        for method in (vae.evaluate, vae.predict):
            assert "x / 255" in refusal(lambda method=method: method(stream(images, kind), verbose=0))
    vae.fit(X, verbose=0)  # the refusal is forgotten


@pytest.mark.slow
@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_stream_of_bytes_or_nan_is_refused(jit_compile):
    vae = compiled(jit_compile)
    assert "uint8" in refusal(lambda: vae.fit(stream((X * 255).astype(np.uint8), "dataset"), shuffle=False, verbose=0))
    images = X.copy()
    images[9, 3, 3] = np.nan
    assert "NaN" in refusal(lambda: vae.fit(stream(images, "dataset"), shuffle=False, verbose=0))


def test_a_model_that_runs_eagerly_refuses_too():
    vae = compiled(run_eagerly=True)
    assert "x / 255" in refusal(lambda: vae.fit(stream(X * 255, "dataset"), shuffle=False, verbose=0))


def test_an_own_loop_is_stopped_by_the_graph_and_gets_nan_where_xla_drops_the_assertion():
    vae = make_vae()
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"must be in \[0, 1\]"):
        tf.function(lambda x: vae.terms(x, [1, 2]).elbo)(tf.constant(X * 255))
    assert np.isnan(tf.function(lambda x: vae.terms(x, [1, 2]).elbo, jit_compile=True)(tf.constant(X * 255))).all()
    own = tf.function(lambda x: vae.terms(x, [1, 2]).elbo)(tf.constant(X))
    np.testing.assert_allclose(own, vae.elbo(X, [1, 2]), rtol=1e-5)


def test_an_eager_gradient_tape_is_stopped_at_once():
    vae = make_vae()

    def step():
        with tf.GradientTape() as tape:
            loss = vae.weighted_loss(vae.terms(X * 2 - 1))
        return tape.gradient(loss, vae.trainable_variables)

    assert "(x + 1) / 2" in refusal(step)


def test_the_range_does_not_change_a_bit_of_what_is_right():
    """The check adds a zero to the images."""
    vae = compiled()
    images = tf.constant(X)
    np.testing.assert_array_equal(vae.range_record.noted(images, inputs.UNIT), images)


def test_kvae_s_own_training_is_not_checked():
    """Bytes are in range by construction: the step over them holds no comparison of pixels."""
    vae = make_vae()
    vae.compile("sgd", jit_compile=False)
    vae.range_record.noted = None  # a call would fail
    pixels = (X * 255).astype(np.uint8)
    vae.fit(steps(pixels, 4, 2, 0), steps_per_epoch=3, shuffle=False, verbose=0)


# What stands beside the images

LABELS = np.arange(24) % 3


@pytest.fixture(scope="module")
def unlabelled():
    """What a fit over the images alone reports."""
    return compiled().fit(stream(X, "dataset"), shuffle=False, verbose=0).history


@pytest.mark.parametrize(
    "labels",
    [
        LABELS,
        pytest.param(LABELS[:, None], marks=pytest.mark.exhaustive),
        pytest.param(LABELS.astype(np.uint8), marks=pytest.mark.exhaustive),
        np.eye(3, dtype=np.float32)[LABELS],
        pytest.param(np.eye(3)[LABELS], marks=pytest.mark.exhaustive),
    ],
)
def test_the_labels_of_a_stream_are_said_once_to_be_unused(labels, unlabelled):
    vae = compiled()
    both = tf.data.Dataset.from_tensor_slices((X, labels)).batch(4)
    with pytest.warns(UserWarning, match="labels are not used") as warned:
        found = vae.fit(both, shuffle=False, verbose=0).history
        vae.evaluate(both, verbose=0)
    assert found == unlabelled
    assert len([one for one in warned if "labels" in str(one.message)]) == 1


def test_a_pair_as_keras_datasets_give_it_is_images_and_labels():
    with pytest.warns(UserWarning, match="labels are not used"):
        compiled().fit((X, LABELS), verbose=0)


@pytest.mark.filterwarnings("ignore:the labels are not used")
@pytest.mark.parametrize("way", ["fit", "evaluate", "train_on_batch", "test_on_batch"])
def test_what_would_not_be_used_is_refused(way):
    quiet = {"verbose": 0} if way in ("fit", "evaluate") else {}
    for name, value in (("y", X), ("y", LABELS), ("sample_weight", np.ones(24))):
        message = refusal(lambda name=name, value=value: getattr(shared(), way)(X * 0.5, **{name: value}, **quiet))
        assert f"{name} is not used" in message
    assert "y is not used" in refusal(lambda: getattr(shared(), way)(X * 0.5, X, **quiet))
    if way in ("fit", "train_on_batch"):
        assert "class_weight" in refusal(lambda: getattr(shared(), way)(X, class_weight={0: 1.0}, **quiet))


@pytest.mark.parametrize(
    ("batch", "facts"),
    [
        ((X, X), ["target", "float32", "8, 8, 1)"]),
        ((X, X[..., 0].mean(axis=(1, 2))), ["target", "float32"]),
        ((X, LABELS, np.ones(24)), ["sample_weight"]),
        ({"image": X, "label": LABELS}, ["dict", "image, label", "batch['image']"]),
        (({"image": X}, LABELS), ["dict", "image"]),
        (((X, X, X), LABELS), ["3 arrays"]),
    ],
)
def test_a_stream_with_what_no_model_uses_is_refused(batch, facts):
    dataset = tf.data.Dataset.from_tensor_slices(batch).batch(4)
    message = refusal(lambda: shared().fit(dataset, shuffle=False, verbose=0))
    assert all(fact in message for fact in facts), message


def test_validation_data_with_a_target_or_weights_is_refused():
    for data in ((X, X), (X, LABELS), (X, None, np.ones(24))):
        assert "validation_data" in refusal(lambda data=data: shared().fit(X, validation_data=data, verbose=0))


def test_a_list_of_images_is_refused():
    assert "np.stack" in refusal(lambda: shared().fit(list(X), verbose=0))


@pytest.mark.parametrize("kind", [tf.Variable, keras.Variable])
def test_variables_are_checked_like_arrays(kind):
    assert "x / 255" in refusal(lambda: inputs.check_array(kind(X * 255), SHAPE))
    inputs.check_array(kind(X), SHAPE)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Your input ran out of data", "ignore:.*shuffle=True")
def test_iterators_may_give_bare_batches():
    """Keras wants tuples of a generator, and knows no other iterators."""
    expected = compiled().fit(((part,) for part in np.split(X, 6)), shuffle=False, verbose=0).history
    for batches in ((part for part in np.split(X, 6)), map(np.asarray, np.split(X, 6)), iter(np.split(X, 6))):
        assert compiled().fit(batches, shuffle=False, verbose=0).history == expected
    found = compiled().predict((part for part in np.split(X, 6)), verbose=0)
    np.testing.assert_array_equal(found, compiled().predict(X, batch_size=4, verbose=0))
    compiled().fit(X, validation_data=(part for part in np.split(X, 6)), verbose=0)
    assert compiled().evaluate((part for part in np.split(X, 6)), verbose=0)
    assert "x / 255" in refusal(
        lambda: compiled().fit((part * 255 for part in np.split(X, 6)), shuffle=False, verbose=0)
    )
    with pytest.warns(UserWarning, match="labels are not used"):
        compiled().fit(([part, np.arange(4)] for part in np.split(X, 6)), shuffle=False, verbose=0)


@pytest.mark.parametrize("images", [None, "photos", 3])
def test_what_holds_no_images_is_refused(images):
    for method in ("fit", "evaluate", "predict"):
        assert repr(images) in refusal(lambda method=method: getattr(shared(), method)(images, verbose=0))


EMPTY = {
    "known": lambda: tf.data.Dataset.from_tensor_slices(X[:0]).batch(4),
    "found out": lambda: tf.data.Dataset.from_tensor_slices(X).batch(4).filter(lambda batch: False),
    "iterator": lambda: iter([]),
    "list": lambda: [],
}


@pytest.mark.filterwarnings("ignore:Your input ran out of data", "ignore:.*shuffle=True")
@pytest.mark.parametrize("kind", EMPTY)
@pytest.mark.parametrize("method", ["fit", "evaluate", "predict", "validation"])
def test_a_stream_without_a_batch_is_refused(kind, method):
    vae, images = shared(), EMPTY[kind]()
    if method == "validation":
        message = refusal(lambda: vae.fit(X, validation_data=images, verbose=0))
    else:
        message = refusal(lambda: getattr(vae, method)(images, verbose=0))
    assert "there are no images" in message


@pytest.mark.parametrize(
    ("method", "name"),
    [
        ("fit", "batch_size"), ("fit", "steps_per_epoch"), ("fit", "validation_steps"), ("evaluate", "steps"),
        ("evaluate", "batch_size"), ("predict", "batch_size"), ("predict", "steps"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("value", [0, -1, "4", 2.0, True])
def test_a_count_that_is_none_is_refused(method, name, value):
    message = refusal(lambda: getattr(shared(), method)(X, **{name: value}, verbose=0))
    assert f"{name} must be an integer of at least 1; got {value!r}" in message


def test_both_splits_of_a_data_set_at_once_are_refused():
    assert "one split" in refusal(lambda: shared().fit(((X, LABELS), (X, LABELS)), verbose=0))


def test_a_float_that_tensorflow_does_not_know_is_to_be_cast():
    assert "astype('float32')" in refusal(lambda: inputs.check_array(X.astype(np.longdouble), SHAPE))
