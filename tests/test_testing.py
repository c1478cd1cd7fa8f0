"""assert_parity, used as in the test suite of another project."""

import keras
import numpy as np
import onnxruntime
import pytest
from tiny import make_vae, random_images

from kvae.bundle.parity import TOLERANCE
from kvae.errors import KvaeError
from kvae.export.bundles import export
from kvae.model.priors import StandardNormal
from kvae.runtime.bundle import Bundle
from kvae.testing import assert_parity


def change_a_weight(model, factor=1.001):
    weights = model.get_weights()
    weights[0] = weights[0] * factor
    model.set_weights(weights)


def test_a_model_and_its_bundle_pass_with_their_worst_errors(vae, bundle_path):
    worst = assert_parity(vae, bundle_path)
    assert list(worst) == ["mean", "likelihood_parameters", "loc", "scale"]
    assert all(0 <= error <= TOLERANCE for error in worst.values())


def test_a_run_and_its_keras_file_pass(run):
    assert assert_parity(run.path, str(run.path / "bundle")) == assert_parity(
        str(run.path / "model.keras"), Bundle.open(run.path / "bundle", device="cpu")
    )


def test_a_lone_graph_is_compared_in_its_outputs(vae, bundle_path):
    assert list(assert_parity(vae, bundle_path / "encoder.onnx")) == ["loc", "scale"]


def test_another_decoder_fails_with_a_table(vae, bundle_path):
    change_a_weight(vae.decoder, factor=2.0)
    with pytest.raises(AssertionError) as failure:
        assert_parity(vae, bundle_path)
    title, head, *rows = str(failure.value).splitlines()
    assert title == "the bundle differs from the model:"
    assert head.split() == ["output", "worst", "error", "tolerance", "Keras", "onnxruntime", "where"]
    marked = {row.split()[0]: row.endswith("<- too much") for row in rows}
    assert marked == {"mean": True, "likelihood_parameters": True, "loc": False, "scale": False}
    assert "1e-05" in rows[0]


def test_the_error_in_the_table_equals_numpy_s(vae, bundle_path):
    """The worst error of the encoder, for one batch of given images, by hand."""
    change_a_weight(vae.encoder, factor=1.5)
    images = np.zeros((1, 8, 8, 1), np.float32)
    images[0, 2:6, 2:6] = 1.0
    session = onnxruntime.InferenceSession(bundle_path / "encoder.onnx", providers=["CPUExecutionProvider"])
    expected = np.abs(session.run(["loc"], {"images": images})[0] - vae.encoder(images).mean().numpy()).max()
    worst = assert_parity(vae, bundle_path, atol=np.inf, batch_sizes=(), images=images)
    assert worst["loc"] == pytest.approx(expected, rel=1e-4)


def test_own_images_are_compared_too(vae, bundle_path):
    """A model that differs only on them is found: its encoder gives the same as the bundle's for a black image."""
    change_a_weight(vae.encoder)
    black = np.zeros((2, 8, 8, 1), np.float32)
    assert_parity(vae, bundle_path, batch_sizes=(), images=black)
    with pytest.raises(AssertionError, match="loc"):
        assert_parity(vae, bundle_path, batch_sizes=(), images=random_images(2))


def test_the_caller_sets_the_tolerance(vae, bundle_path):
    change_a_weight(vae.decoder)
    with pytest.raises(AssertionError):
        assert_parity(vae, bundle_path)
    assert TOLERANCE < assert_parity(vae, bundle_path, atol=0.1)["mean"] < 0.1


def test_a_nan_exceeds_every_tolerance(vae, bundle_path):
    change_a_weight(vae.decoder, np.nan)
    with pytest.raises(AssertionError, match="nan"):
        assert_parity(vae, bundle_path, atol=1e9)


def test_another_shape_is_an_assertion_error(bundle_path):
    with pytest.raises(AssertionError, match=r"the model has latent_dim 5, the bundle 3"):
        assert_parity(make_vae(latent_dim=5), bundle_path)


def test_other_likelihood_parameters_are_an_assertion_error(bundle_path):
    with pytest.raises(AssertionError, match=r"'likelihood_parameters' has shape \(1, 8, 8, 1\)"):
        assert_parity(make_vae(likelihood="normal"), bundle_path)


def test_own_networks_pass(own_networks, tmp_path):
    """A scale that all images share is one row in TFP, but one row per image in the graph."""
    from tiny import DATASET

    from kvae.model.vae import VAE

    vae = VAE(*own_networks, StandardNormal(3))
    vae(random_images(1))
    assert_parity(vae, export(vae, tmp_path / "bundle", dataset=DATASET).path)


def test_models_that_cannot_be_compared_are_errors_of_one_line(bundle_path, tmp_path, own_networks):
    from kvae.model.vae import VAE

    with pytest.raises(KvaeError, match="has no weights yet"):
        assert_parity(VAE(*own_networks, StandardNormal(3)), bundle_path)
    with pytest.raises(KvaeError, match=r"has no model\.keras"):
        assert_parity(tmp_path, bundle_path)
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save(tmp_path / "other.keras")
    with pytest.raises(KvaeError, match="holds a Sequential; expected"):
        assert_parity(tmp_path / "other.keras", bundle_path)
    (tmp_path / "broken.keras").write_text("not a model")
    with pytest.raises(KvaeError, match="cannot load"):
        assert_parity(tmp_path / "broken.keras", bundle_path)


def test_images_of_another_shape_are_an_error_of_one_line(vae, bundle_path):
    with pytest.raises(KvaeError, match=r"images must have shape \(n, 8, 8, 1\); got \(2, 8, 8\)"):
        assert_parity(vae, bundle_path, images=np.zeros((2, 8, 8)))
