"""What the callbacks write, read back by other tools; and that they do not affect training."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tiny import make_vae, random_images

from kvae.bundle import noise
from kvae.errors import KvaeError
from kvae.files import pictures
from kvae.model.vae import VAE
from kvae.steps import batches
from kvae.training.callbacks import Pictures, TensorBoard

IMAGES = random_images(32)


def fit(vae: VAE, callbacks: list[keras.callbacks.Callback], epochs: int = 4, **settings) -> keras.callbacks.History:
    if not vae.compiled:
        vae.compile(optimizer=keras.optimizers.Adam(1e-2), jit_compile=False)
    vae.fit(IMAGES, validation_data=(IMAGES,), epochs=epochs, batch_size=8, verbose=0, callbacks=callbacks, **settings)
    return vae.history


def events(folder):
    """`(tag, step) -> value` for all event files in a folder, as TensorFlow's own reader returns them."""
    found = {}
    for path in sorted(folder.glob("events.*")):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                found[value.tag, event.step] = (value.metadata.plugin_data.plugin_name, tf.make_ndarray(value.tensor))
    return found


def pixels(path):
    with Image.open(path) as image:
        return np.array(image)


def test_pictures_come_every_few_epochs_and_show_the_model(tmp_path):
    vae = make_vae()
    fit(vae, [Pictures(tmp_path / "new", IMAGES[:5], every=2)])
    names = sorted(path.name for path in (tmp_path / "new").iterdir())
    assert names == [
        "reconstructions-0002.png", "reconstructions-0004.png", "samples-0002.png", "samples-0004.png",
    ]  # fmt: skip
    decoded = vae.decoder(noise.standard_normal(0, 0, 64, 3)).mean().numpy()
    drawn = np.array(pictures.grid(decoded)).astype(int)
    # One level of 255: parts of a batch may round differently.
    assert np.abs(pixels(tmp_path / "new" / "samples-0004.png") - drawn).max() <= 1
    both = pictures.reconstructions(IMAGES[:5], vae.predict(IMAGES[:5], verbose=0), 16)
    assert np.abs(pixels(tmp_path / "new" / "reconstructions-0004.png") - np.array(both).astype(int)).max() <= 1
    assert (pixels(tmp_path / "new" / "samples-0002.png") != pixels(tmp_path / "new" / "samples-0004.png")).any()


@pytest.mark.slow
@pytest.mark.parametrize("jit_compile", [False, True])
def test_the_callbacks_do_not_affect_training(tmp_path, jit_compile, monkeypatch):
    """The weights and the generator's state are the same bit for bit, and the step is traced no more often."""
    traces, step = [], VAE._step
    monkeypatch.setattr(VAE, "_step", lambda vae, images: (traces.append(vae), step(vae, images))[1])
    plain, watched = make_vae(), make_vae()
    for vae, callbacks in ((plain, []), (watched, [Pictures(tmp_path, IMAGES, 1), TensorBoard(tmp_path)])):
        vae.compile(optimizer=keras.optimizers.Adam(1e-2), jit_compile=jit_compile)
        fit(vae, callbacks, epochs=2, shuffle=False)
    for ours, theirs in zip(watched.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(watched.seed_generator.state, plain.seed_generator.state)
    assert traces.count(watched) == traces.count(plain) > 0


def test_bytes_and_colour(tmp_path):
    vae = make_vae((8, 12, 3))
    images = pictures.to_uint8(random_images(20, (8, 12, 3)))
    vae.compile(optimizer="adam", jit_compile=False)
    vae.fit(images / np.float32(255), verbose=0, callbacks=[Pictures(tmp_path, images, 1)])
    assert pixels(tmp_path / "reconstructions-0001.png").shape[-1] == 3
    assert pixels(tmp_path / "samples-0001.png").shape[-1] == 3


def test_a_model_that_diverged_is_drawn_black(tmp_path):
    vae = make_vae()
    vae.set_weights([np.full_like(weight, np.nan) for weight in vae.get_weights()])
    fit(vae, [Pictures(tmp_path, IMAGES[:1], 1)], epochs=1)
    assert pixels(tmp_path / "samples-0001.png")[40, 40] == 0  # inside the first cell


def test_tensorboard_has_the_history_and_the_pictures(tmp_path):
    vae = make_vae()
    tensorboard = TensorBoard(tmp_path / "events")
    history = fit(vae, [tensorboard, Pictures(tmp_path, IMAGES[:2], 2, tensorboard)]).history
    train, validation = (events(tmp_path / "events" / part) for part in ("train", "validation"))
    for name in ("loss", "elbo", "distortion", "rate"):
        for found, key in ((train, name), (validation, f"val_{name}")):
            values = [found[f"epoch_{name}", step] for step in (1, 2, 3, 4)]
            assert {plugin for plugin, _ in values} == {"scalars"}
            np.testing.assert_array_equal([value for _, value in values], np.float32(history[key]))
    assert train["epoch_learning_rate", 4][1] == np.float32(1e-2)
    for name in ("samples", "reconstructions"):
        plugin, (width, height, png) = validation[name, 4]
        assert plugin == "images"
        assert png == (tmp_path / f"{name}-0004.png").read_bytes()
        assert (int(height), int(width)) == pixels(tmp_path / f"{name}-0004.png").shape
    assert set(validation) & {("samples", 1), ("samples", 3)} == set()


def test_resumed_training_adds_to_both(tmp_path):
    """Even after an exit that closed nothing, because what an epoch wrote is on disk."""

    class Killed(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1:
                raise KeyboardInterrupt

    vae = make_vae()
    with pytest.raises(KeyboardInterrupt):
        fit(vae, [TensorBoard(tmp_path), Pictures(tmp_path, IMAGES[:2], 1), Killed()])
    assert {step for tag, step in events(tmp_path / "train") if tag == "epoch_elbo"} == {1, 2}
    fit(vae, [TensorBoard(tmp_path), Pictures(tmp_path, IMAGES[:2], 1)], initial_epoch=2)
    assert {step for tag, step in events(tmp_path / "train") if tag == "epoch_elbo"} == {1, 2, 3, 4}
    assert len(list(tmp_path.glob("samples-000[1-4].png"))) == 4


def test_it_works_with_many_steps_per_call(tmp_path):
    vae = make_vae()
    vae.compile(optimizer="adam", jit_compile=False)
    fed = batches.steps(pictures.to_uint8(IMAGES), 8, 2, shuffle_seed=0)
    callbacks = [TensorBoard(tmp_path), Pictures(tmp_path, IMAGES, 1)]
    vae.fit(fed, steps_per_epoch=2, epochs=2, shuffle=False, verbose=0, callbacks=callbacks)
    assert events(tmp_path / "train")["epoch_elbo", 2][1] == np.float32(vae.history.history["elbo"][1])


@pytest.mark.parametrize(
    ("images", "every", "message"),
    [
        (IMAGES[0], 5, r"images must have shape \(n, height, width, 1 or 3\), n at least 1; got \(8, 8, 1\)"),
        (IMAGES[:0], 5, "n at least 1"),
        (random_images(2, (8, 8, 2)), 5, "1 or 3"),
        (IMAGES.astype(int), 5, "bytes or floats in"),
        (IMAGES, 0, "every must be at least 1 epoch; got 0"),
    ],
)
def test_wrong_arguments(tmp_path, images, every, message):
    with pytest.raises(KvaeError, match=message):
        Pictures(tmp_path, images, every)


def test_another_model_and_an_unwritable_folder_are_refused(tmp_path):
    other = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(1)])
    other.compile(loss="mse")
    with pytest.raises(KvaeError, match=r"Pictures .*kvae\.model\.vae\.VAE; got a Sequential"):
        other.fit(IMAGES, np.zeros(32), verbose=0, callbacks=[Pictures(tmp_path, IMAGES)])
    (tmp_path / "file").write_text("")
    vae = make_vae()
    vae.compile(optimizer="adam", jit_compile=False)
    for callback in (TensorBoard(tmp_path / "file" / "events"), Pictures(tmp_path / "file" / "new", IMAGES, 1)):
        callback.set_model(vae)
        with pytest.raises(KvaeError, match="cannot write"):
            callback.on_epoch_end(0, {"loss": 1.0})
