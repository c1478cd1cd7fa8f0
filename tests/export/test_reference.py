"""The reference in a bundle: Keras's own results, which the graphs reproduce."""

import zipfile

import numpy as np
import pytest
import tensorflow as tf
from tiny import DATASET, make_vae

from kvae.bundle import noise
from kvae.export.bundles import export
from kvae.model.vae import VAE
from kvae.runtime import scoring
from kvae.runtime.bundle import Bundle


@pytest.mark.parametrize("binarize", ["none", "dynamic"])
def test_the_reference_is_what_keras_computes_and_the_graphs_reproduce_it(tmp_path, binarize):
    vae = make_vae()
    path = export(vae, tmp_path / "b", dataset=DATASET, binarize=binarize).path
    with np.load(path / "reference.npz") as file:
        found = dict(file)
    assert {name: array.dtype.name for name, array in found.items()} == dict.fromkeys(
        ("z", "mean", "likelihood_parameters", "images", "loc", "scale"), "float32"
    ) | {"elbo": "float64"}
    np.testing.assert_array_equal(found["z"], noise.standard_normal(0, 0, 4, 3))
    mean = vae.decoder(tf.constant(found["z"])).mean().numpy()
    np.testing.assert_array_equal(found["mean"], mean)
    np.testing.assert_array_equal(found["images"], np.rint(mean) if binarize == "dynamic" else mean)
    bundle = Bundle.open(path)
    np.testing.assert_allclose(bundle.decode(found["z"]), found["mean"], atol=1e-5)
    posterior = bundle.encode(found["images"])
    np.testing.assert_allclose(posterior.loc, found["loc"], atol=1e-5)
    np.testing.assert_allclose(posterior.scale, found["scale"], atol=1e-5)
    np.testing.assert_allclose(scoring.score(bundle, found["images"]).elbo, found["elbo"], atol=1e-3)


def test_a_scale_that_pixels_share_is_written_for_each(own_networks, tmp_path):
    import tensorflow_probability as tfp

    vae = VAE(*own_networks, tfp.distributions.MultivariateNormalDiag(tf.zeros(3), tf.ones(3)))
    vae.build((None, 8, 8, 1))
    path = export(vae, tmp_path / "b", dataset=DATASET).path
    with np.load(path / "reference.npz") as found:
        assert found["likelihood_parameters"].shape == (4, 8, 8, 2)
        assert found["scale"].shape == (4, 3)


def test_the_file_is_stored_so_that_any_language_can_read_it(bundle_path):
    with zipfile.ZipFile(bundle_path / "reference.npz") as archive:
        assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_STORED}
