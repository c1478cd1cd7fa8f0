"""Export: bundles follow the contract exactly and agree with Keras; broken graphs are refused."""

import itertools
import json

import numpy as np
import onnx
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from onnx import TensorProto
from PIL import Image
from tiny import DATASET, IMAGE_SHAPE, make_vae, random_images

from kvae import likelihoods
from kvae.bundle import densities, parity
from kvae.bundle.manifest import Manifest, sha256
from kvae.config import LIKELIHOODS
from kvae.errors import BundleError, KvaeError
from kvae.export.bundles import export
from kvae.export.tensors import is_standard_normal
from kvae.model.priors import Fixed, Prior, StandardNormal
from kvae.model.vae import VAE
from kvae.runtime import scoring
from kvae.runtime.bundle import Bundle

tfd = tfp.distributions


def shapes(values):
    return {
        value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim] for value in values
    }


def test_graphs_follow_the_contract(bundle_path):
    decoder, encoder = (onnx.load(bundle_path / f"{name}.onnx").graph for name in ("decoder", "encoder"))
    image = ["batch", 8, 8, 1]
    assert shapes(decoder.input) == {"z": ["batch", 3]}
    assert list(shapes(decoder.output).items()) == [("mean", image), ("likelihood_parameters", image)]
    assert shapes(encoder.input) == {"images": image}
    assert list(shapes(encoder.output).items()) == [("loc", ["batch", 3]), ("scale", ["batch", 3])]
    for graph in (decoder, encoder):
        assert {value.type.tensor_type.elem_type for value in (*graph.input, *graph.output)} == {TensorProto.FLOAT}


def test_manifest_graphs_and_files_agree(bundle_path):
    manifest = Manifest.read(bundle_path)
    for name in ("decoder", "encoder"):
        model = onnx.load(bundle_path / f"{name}.onnx")
        assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", manifest.opset)]
        (embedded,) = (entry.value for entry in model.metadata_props if entry.key == "kvae")
        assert json.loads(embedded) == json.loads(manifest.to_json()) | {"files": {}}
    on_disk = {path.name: sha256(path) for path in bundle_path.iterdir() if path.name != "manifest.json"}
    assert manifest.files == on_disk
    assert manifest.opset >= 17


ODD_SHAPE = (9, 14, 3)
PAIRS = list(itertools.product(("mlp", "conv"), LIKELIHOODS))


@pytest.mark.parametrize(("architecture", "likelihood"), [*PAIRS, ("gated_mlp", "bernoulli")])
def test_onnxruntime_agrees_with_keras(architecture, likelihood, tmp_path):
    """Every output within 1e-5 at several batch sizes, mean image in [0, 1], and log p(x|z) in numpy equals TFP's."""
    vae = make_vae(ODD_SHAPE, architecture=architecture, likelihood=likelihood)
    exported = export(vae, tmp_path / "b", dataset=DATASET)
    bundle = Bundle.open(exported.path)
    assert (exported.manifest.likelihood, bundle.manifest.likelihood) == (likelihood, likelihood)
    assert exported.manifest.likelihood_parameters == list(likelihoods.get(likelihood).parameters)
    assert set(exported.parity) == {"mean", "likelihood_parameters", "loc", "scale"}
    assert max(exported.parity.values()) <= 1e-5
    for batch in (1, 7, 64):
        images = random_images(batch, ODD_SHAPE)
        posterior = vae.encoder(images)
        np.testing.assert_allclose(bundle.encode(images).loc, posterior.mean(), atol=1e-5)
        np.testing.assert_allclose(bundle.encode(images).scale, posterior.stddev(), atol=1e-5)
        z = np.random.default_rng(0).normal(size=(batch, 3)).astype(np.float32)
        distribution = vae.decoder(tf.constant(z))
        mean = bundle.decode(z)
        np.testing.assert_allclose(mean, distribution.mean(), atol=1e-5)
        assert mean.min() >= 0 and mean.max() <= 1
        parameters = bundle.run("decoder", {"z": z})["likelihood_parameters"]
        image = np.rint(images[0] * 255) / np.float32(255)
        np.testing.assert_allclose(
            densities.log_density(likelihood, parameters, image), distribution.log_prob(image), rtol=1e-5, atol=1e-3
        )


# What a trained decoder may return for a pixel: near one half, saturated, at a floor.
SATURATED = {
    "bernoulli": [[0.0, 1e-3, -50.0, 50.0, -1000.0, 1000.0]],
    "continuous_bernoulli": [[0.0, 1e-6, -1e-3, 0.004, -0.0159, 0.1, 1.0, -50.0, 50.0, -1000.0, 1000.0]],
    "discretized_logistic": [[0.0, 0.5, 1.0, -0.3, 1.4, -5.0, 6.0], [-100.0, -6.0, -3.0, 0.0, 2.0]],
    "normal": [[-1000.0, -50.0, 0.0, 50.0, 1000.0], [-1000.0, -50.0, -3.0, 0.0, 3.0]],
}


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_saturated_decoders_export_too(likelihood, tmp_path):
    """With pixels at the extremes of every parameter, the graph has no NaN unless TFP has, and agrees with Keras."""
    vae = make_vae(likelihood=likelihood)
    combinations = np.array(list(itertools.product(*SATURATED[likelihood])), np.float32)
    dense = vae.decoder.body.layers[-2]
    dense.bias.assign(np.resize(combinations, (64, combinations.shape[1])).ravel())
    bundle = Bundle.open(export(vae, tmp_path / "b", dataset=DATASET).path)
    mean = bundle.decode(np.zeros((2, 3), np.float32))
    assert mean.min() >= 0 and mean.max() <= 1
    assert mean.max() - mean.min() > 0.9


def test_custom_networks_export(own_networks, tmp_path):
    """The posterior is an Independent Normal, the likelihood a normal with a fixed scale."""
    vae = VAE(*own_networks, tfd.MultivariateNormalDiag(tf.zeros(3), tf.ones(3)))
    vae(random_images(1))
    exported = export(vae, tmp_path / "own", dataset=DATASET)
    assert exported.manifest.likelihood == "normal"
    images = random_images(5)
    found = Bundle.open(exported.path).reconstruct(images)
    np.testing.assert_allclose(found, vae.predict(images, verbose=0), atol=1e-5)


def test_a_second_export_replaces_the_first(tmp_path):
    export(make_vae(seed=0), tmp_path / "b", dataset=DATASET)
    export(make_vae(seed=1), tmp_path / "b", dataset=DATASET)
    z = np.ones((1, 3), np.float32)
    np.testing.assert_allclose(
        Bundle.open(tmp_path / "b").decode(z), make_vae(seed=1).decoder(tf.constant(z)).mean(), atol=1e-6
    )
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_a_bundle_with_something_added_is_left_alone(tmp_path):
    export(make_vae(), tmp_path / "b", dataset=DATASET)
    (tmp_path / "b" / "thesis.txt").write_text("years of work")
    with pytest.raises(KvaeError, match="exists and is not a bundle"):
        export(make_vae(), tmp_path / "b", dataset=DATASET)
    assert (tmp_path / "b" / "thesis.txt").exists()


def test_provenance_that_readers_would_reject_is_refused(tmp_path):
    with pytest.raises(BundleError, match="'dataset' must be"):
        export(make_vae(), tmp_path / "b", dataset={"name": "x"})
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_a_bundle_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(KvaeError, match="exists and is not a bundle"):
        export(make_vae(), tmp_path, dataset=DATASET)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_models_that_the_format_does_not_support_are_refused(own_networks, tmp_path):
    wide = VAE(*own_networks, tfd.MultivariateNormalDiag(tf.zeros(3), 2 * tf.ones(3)))
    with pytest.raises(KvaeError, match="no weights yet"):
        export(wide, tmp_path / "b", dataset=DATASET)
    rare = VAE(*own_networks, tfd.Independent(tfd.StudentT(5.0, tf.zeros(3), 1.0), 1))
    rare.build((None, *IMAGE_SHAPE))
    with pytest.raises(KvaeError, match="draws from the prior .*StudentT.* Define from_noise") as caught:
        export(rare, tmp_path / "b", dataset=DATASET)
    assert "\n" not in str(caught.value) and list(tmp_path.iterdir()) == []


class Shifted(StandardNormal):
    """A custom prior that has the name of the usual one, but is different."""

    def call(self, label=None):
        return tfd.MultivariateNormalDiag(loc=tf.ones(self.latent_dim), scale_diag=tf.ones(self.latent_dim))


class Conditional(Prior):
    """A prior that depends on the label."""

    def call(self, label=None):
        return tfd.MultivariateNormalDiag(loc=tf.one_hot(label, self.latent_dim))


class Spelled(Prior):
    """N(0, I), written differently."""

    def call(self, label=None):
        return tfd.Independent(tfd.Normal(tf.zeros(self.latent_dim), 1.0), 1)


def test_a_prior_is_judged_by_what_it_returns_not_by_its_name(own_networks, tmp_path):
    shifted, spelled = VAE(*own_networks, Shifted(3)), VAE(*own_networks, Spelled(3))
    for vae in (shifted, spelled):
        vae.build((None, *IMAGE_SHAPE))
    assert export(shifted, tmp_path / "b", dataset=DATASET).manifest.prior == "Shifted"
    manifest = export(spelled, tmp_path / "b", dataset=DATASET).manifest
    assert (manifest.prior, manifest.format_version) == ("standard_normal", 1)


@pytest.mark.parametrize(
    ("prior", "standard"),
    [
        (lambda: tfd.Independent(tfd.Normal(tf.zeros(4), 1.0), 1), True),
        (lambda: tfd.MultivariateNormalDiag(tf.zeros(4)), True),
        (lambda: tfd.MultivariateNormalDiag(scale_diag=tf.ones(4)), True),
        (lambda: tfd.MultivariateNormalTriL(scale_tril=tf.eye(4)), True),
        (lambda: tfd.Sample(tfd.Normal(0.0, 1.0), 4), True),
        (lambda: tfd.Independent(tfd.Independent(tfd.Normal(tf.zeros(4), 1.0), 1), 0), True),
        (lambda: tfd.MultivariateNormalTriL(scale_tril=1.001 * tf.eye(4)), False),
        (lambda: tfd.MultivariateNormalDiag(tf.constant([0.0, 0.0, 0.0, 0.001])), False),
        (lambda: tfd.MultivariateNormalTriL(scale_tril=[[1.0, 0.0], [0.6, 0.8]]), False),  # its marginals are N(0, 1)
        (lambda: tfd.Independent(tfd.StudentT(1e9, tf.zeros(4), 1.0), 1), False),  # another family, however close
    ],
)
def test_a_standard_normal_is_recognised_however_it_is_written(prior, standard):
    assert is_standard_normal(Fixed(prior())) == standard


def test_a_prior_that_needs_a_label_must_say_so():
    with pytest.raises(KvaeError, match="cannot be called without labels.* num_labels"):
        is_standard_normal(Conditional(3))


def test_training_images_give_statistics_in_manifest_and_graphs(tmp_path):
    """From the first STATISTICS_IMAGES, on the checked bundle; tests/runtime/test_scoring.py checks the numbers."""
    images = np.rint(random_images(40) * 255).astype(np.uint8)
    exported = export(make_vae(), tmp_path / "b", dataset=DATASET, train_images=images)
    expected = scoring.training_statistics(Bundle.open(exported.path), images)
    assert {name: getattr(exported.manifest, name) for name in expected} == expected
    for name in ("decoder", "encoder"):
        assert {key: embedded(exported.path, name)[key] for key in expected} == expected


def test_only_so_many_training_images_are_scored(tmp_path, monkeypatch):
    monkeypatch.setattr("kvae.runtime.scoring.STATISTICS_IMAGES", 7)
    images = np.zeros((40, 8, 8, 1), np.uint8)
    exported = export(make_vae(), tmp_path / "b", dataset=DATASET, train_images=images)
    assert exported.manifest.scoring["num_images"] == exported.manifest.posterior["num_images"] == 7


def test_the_manifest_records_the_measured_parity(bundle_path, tmp_path):
    exported = export(make_vae(), tmp_path / "b", dataset=DATASET)
    assert exported.manifest.parity == {"tolerance": parity.TOLERANCE, "errors": exported.parity}


def test_test_images_are_pictured_above_their_reconstructions(tmp_path):
    images = np.rint(random_images(40) * 255).astype(np.uint8)
    exported = export(make_vae(), tmp_path / "b", dataset=DATASET, test_images=images)
    with Image.open(exported.path / "reconstructions.png") as picture:
        found = np.asarray(picture)
    assert set(exported.manifest.files) == {
        "README.md", "decoder.onnx", "encoder.onnx", "preview.png", "reconstructions.png", "reference.npz",
    }  # fmt: skip
    first, below = (found[28 + 14 * row * 10 : 28 + 14 * row * 10 + 112, 28:140] for row in (0, 1))
    np.testing.assert_array_equal(first[::14, ::14], images[0, ..., 0])
    decoded = Bundle.open(exported.path).reconstruct(images[:1] / np.float32(255))
    np.testing.assert_allclose(below[::14, ::14], decoded[0, ..., 0] * 255, atol=1)


# Metrics

METRICS = {"elbo": {"value": -230.125, "standard_error": 0.75}}


def embedded(folder, name):
    """The manifest inside a graph."""
    model = onnx.load(folder / f"{name}.onnx")
    (text,) = (entry.value for entry in model.metadata_props if entry.key == "kvae")
    return json.loads(text)


@pytest.mark.parametrize("measured", [False, True], ids=["given", "measured"])
def test_metrics_are_the_same_in_manifest_graphs_and_card(tmp_path, measured):
    """Whether they are given or measured on the bundle by a function."""
    exported = export(make_vae(), tmp_path / "b", dataset=DATASET, metrics=(lambda _: METRICS) if measured else METRICS)
    assert exported.manifest.metrics == Manifest.read(exported.path).metrics == METRICS
    for name in ("decoder", "encoder"):
        assert embedded(exported.path, name)["metrics"] == METRICS
    card = (exported.path / "README.md").read_text()
    assert "| elbo | -230.12 | 0.75 | nats per image |" in card
    assert "grey intensities under a Bernoulli likelihood: a surrogate, not a likelihood" in card
    Bundle.open(exported.path).sample(1)  # the hashes match the files


def test_metrics_are_measured_on_the_bundle_that_is_written(tmp_path):
    """The function gets the open, checked bundle with its encoder; its numbers are those of the final graphs."""
    seen = {}

    def measure(bundle):
        seen["posterior"] = bundle.encode(random_images(4))
        seen["images"] = bundle.sample(3)
        return METRICS

    vae = make_vae()
    final = Bundle.open(export(vae, tmp_path / "b", dataset=DATASET, metrics=measure).path)
    np.testing.assert_array_equal(final.encode(random_images(4)).loc, seen["posterior"].loc)
    np.testing.assert_array_equal(final.sample(3), seen["images"])
    np.testing.assert_allclose(seen["posterior"].loc, vae.encoder(random_images(4)).mean(), atol=1e-5)


def test_metrics_are_not_measured_on_a_bundle_that_fails_its_checks(tmp_path, monkeypatch):
    monkeypatch.setattr(parity, "TOLERANCE", -1.0)
    with pytest.raises(BundleError, match="differs between onnxruntime and Keras"):
        export(make_vae(), tmp_path / "b", dataset=DATASET, metrics=lambda _: pytest.fail("measured"))
    assert list(tmp_path.iterdir()) == []


def test_an_evaluation_that_fails_leaves_nothing(tmp_path):
    def fail(_):
        raise KvaeError("no test images")

    with pytest.raises(KvaeError, match="no test images"):
        export(make_vae(), tmp_path / "b", dataset=DATASET, metrics=fail)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("measured", [False, True], ids=["given", "measured"])
def test_metrics_that_readers_would_reject_are_refused(tmp_path, measured):
    """NaN, which JSON does not have, is refused whether it was given or measured."""
    bad = {"elbo": {"value": float("nan"), "standard_error": 1.0}}
    with pytest.raises(BundleError, match="'metrics' must be"):
        export(make_vae(), tmp_path / "b", dataset=DATASET, metrics=(lambda _: bad) if measured else bad)
    assert list(tmp_path.iterdir()) == []


def test_a_model_of_bits_says_so(tmp_path):
    """In the manifest, in both graphs, and in the card's description of its numbers; with its training loss."""
    exported = export(
        make_vae(),
        tmp_path / "b",
        dataset=DATASET,
        metrics=METRICS,
        binarize="dynamic",
        training={"beta": 0.5, "entropy_weight": 1.0},
    )
    assert exported.manifest.binarize == Manifest.read(exported.path).binarize == "dynamic"
    assert {embedded(exported.path, name)["binarize"] for name in ("decoder", "encoder")} == {"dynamic"}
    card = (exported.path / "README.md").read_text()
    assert "The ELBO and its terms are log-probabilities of binarised images." in card
    assert "the loss weights the KL by 0.5" in card


def test_an_unknown_binarisation_is_refused(tmp_path):
    with pytest.raises(BundleError, match="'binarize' must be 'none' or 'dynamic'; got 'static'"):
        export(make_vae(), tmp_path / "b", dataset=DATASET, binarize="static")
    assert list(tmp_path.iterdir()) == []
