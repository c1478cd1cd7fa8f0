"""The check before a training: it changes nothing, and stops at once what could not be exported."""

import re
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
import user_networks as networks
from tiny import IMAGE_SHAPE, OwnDecoder, OwnEncoder, make_vae, random_images

from kvae.errors import KvaeError
from kvae.export import CheckExport, NotExportable, check, problems
from kvae.model.priors import StandardNormal
from kvae.model.vae import VAE

tfd = tfp.distributions


def unbuilt(encoder=None):
    keras.utils.set_random_seed(0)
    return VAE(encoder or OwnEncoder(3), OwnDecoder(), StandardNormal(3), seed=0)


def test_a_model_without_weights_needs_the_images_shape():
    vae = unbuilt()
    with pytest.raises(KvaeError, match=r"check\(vae, \(28, 28, 1\)\)"):
        check(vae)
    check(vae, IMAGE_SHAPE)
    assert problems(vae) == []


def test_problems_are_a_line_each():
    (problem,) = problems(networks.REFUSED["random"][0]())
    assert (problem.network, problem.layer) == ("encoder", "'mine' (Calls)")
    assert str(problem).startswith("encoder, layer 'mine' (Calls): draws random numbers")


def test_other_reasons_are_errors_too():
    vae = make_vae()
    rare = VAE(vae.encoder, vae.decoder, tfd.Independent(tfd.StudentT(5.0, tf.zeros(3), 1.0), 1))
    rare.build((None, *IMAGE_SHAPE))
    with pytest.raises(KvaeError, match="Define from_noise"):
        check(rare)


def test_a_training_is_the_same_with_the_check():
    weights = []
    for callbacks in ([], [CheckExport()]):
        vae = unbuilt()
        vae.compile(optimizer="adam", jit_compile=False)
        vae.fit(random_images(8), batch_size=4, epochs=2, verbose=0, callbacks=callbacks)
        weights.append(vae.get_weights())
    for with_it, without in zip(*weights, strict=True):
        np.testing.assert_array_equal(with_it, without)


class Random(OwnEncoder):
    def call(self, images):
        return super().call(images + 0.01 * tf.random.normal(tf.shape(images)))


@pytest.mark.parametrize("built", [False, True])
def test_a_training_stops_at_its_start(built):
    vae = unbuilt(Random(3))
    if built:
        vae.build((None, *IMAGE_SHAPE))
    vae.compile(optimizer="adam", jit_compile=False)
    with pytest.raises(NotExportable, match="encoder: draws random numbers"):
        vae.fit(random_images(12), batch_size=4, epochs=9, verbose=0, callbacks=[CheckExport()])
    assert int(vae.optimizer.iterations) == (0 if built else 1)


@pytest.mark.slow
def test_the_python_of_the_page_on_own_networks_runs():
    page = (Path(__file__).parents[2] / "docs" / "own-networks.md").read_text()
    for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(compile(block, "own-networks.md", "exec"), {"__name__": "__main__"})
