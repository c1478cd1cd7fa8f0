"""Bundles of format 2: what is in them against Keras, closed forms and the manifest; and what is refused."""

import json
from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from family import (
    LABELS,
    LATENT_DIM,
    MEMBERS,
    PROBS,
    ByLabel,
    MemberDecoder,
    MemberEncoder,
    Warped,
    label_arguments,
    make_member,
    mixture,
)
from tiny import DATASET, IMAGE_SHAPE, make_vae, random_images

from kvae.bundle import noise
from kvae.bundle.manifest import Manifest, contract
from kvae.checks import verify
from kvae.errors import KvaeError
from kvae.export import NotExportable, cases, check, export, family
from kvae.model.priors import Fixed, Prior
from kvae.model.vae import VAE
from kvae.runtime import scoring
from kvae.runtime.bundle import Bundle
from kvae.testing import assert_parity

tfd = tfp.distributions


def run(path, role, **inputs):
    """A graph's outputs by onnxruntime alone, by name."""
    session = onnxruntime.InferenceSession(path / f"{role}.onnx", providers=["CPUExecutionProvider"])
    names = [end.name for end in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


def inputs(rows):
    rng = np.random.default_rng(3)
    return {
        "images": random_images(rows),
        "z": rng.normal(size=(rows, LATENT_DIM)).astype(np.float32),
        "noise": rng.normal(size=(rows, LATENT_DIM)).astype(np.float32),
        "label": np.arange(rows) % len(LABELS),
        "component": np.arange(rows) % len(PROBS),
    }


@pytest.mark.parametrize("name", MEMBERS)
def test_each_bundle_says_what_its_model_is(member_path, name):
    settings = MEMBERS[name]
    labelled = settings.get("labelled", False)
    found = json.loads((member_path(name) / "manifest.json").read_text())
    assert found["format_version"] == 2
    prior = {"mixture": "MixtureSameFamily", "warped": "Warped", "by_label": "ByLabel"}
    assert found["prior"] == prior.get(settings.get("prior"), "standard_normal")
    assert found["labels"] == (LABELS if labelled else None)
    assert found["label_weights"] == ([2**53 // 8, 3 * 2**53 // 8, 2**53] if labelled else None)
    assert found["groups"] == (list(settings["groups"]) if "groups" in settings else None)
    probs = np.diff([0, *(found["components"] or [])]) / 2**53
    np.testing.assert_allclose(probs, PROBS if name == "mixture" else [], atol=1e-7)  # TFP keeps float32 logits
    assert found["tensors"] == contract(
        IMAGE_SHAPE,
        LATENT_DIM,
        1,
        labelled=labelled,
        hierarchical="groups" in settings,
        own_prior="prior" in settings,
        components=name == "mixture",
    )
    files = {f"{role}.onnx" for role in found["tensors"]} | {"README.md", "preview.png", "reference.npz"}
    assert {*found["files"]} == files
    assert verify(member_path(name)).passed


@pytest.mark.parametrize("rows", [1, 5])
@pytest.mark.parametrize("name", MEMBERS)
def test_every_graph_computes_what_keras_does(member_path, name, rows):
    """Labels and components of all values, and inputs that a network ignores."""
    vae, path, values = make_member(**MEMBERS[name]), member_path(name), inputs(rows)
    given = {
        role: {end["name"]: values[end["name"]] for end in ends["inputs"]}
        for role, ends in Manifest.read(path).tensors.items()
    }
    label = [values["label"]]
    decoded = vae.decoder(tf.constant(values["z"]), *label * (vae.decoder.num_labels is not None))
    found = run(path, "decoder", **given["decoder"])
    np.testing.assert_allclose(found["mean"], decoded.mean(), atol=1e-6)
    np.testing.assert_allclose(found["likelihood_parameters"], decoded.distribution.logits, atol=1e-5)
    posterior = vae.encoder(tf.constant(values["images"]), *label * (vae.encoder.num_labels is not None))
    found = run(path, "encoder", **given["encoder"])
    if "groups" in MEMBERS[name]:
        codes, posterior = posterior.at(tf.constant(values["noise"])[None])
        drawn = found["loc"] + found["scale"] * values["noise"]
        np.testing.assert_allclose(drawn, codes, atol=1e-5)  # the draw is z = loc + scale * noise
        np.testing.assert_allclose(found["scale"], posterior.stddev()[0], atol=1e-5)
    else:
        np.testing.assert_allclose(found["loc"], posterior.mean(), atol=1e-5)
        np.testing.assert_allclose(found["scale"], posterior.stddev(), atol=1e-5)
    if "prior" in MEMBERS[name]:
        prior = vae.prior(values["label"]) if vae.prior.num_labels else vae.prior()
        found = run(path, "prior_density", **given["prior_density"])["log_prob"]
        assert found.shape == (rows,)
        np.testing.assert_allclose(found, prior.log_prob(values["z"]), rtol=1e-5, atol=1e-5)
        run(path, "prior", **given["prior"])


def test_the_graphs_of_a_mixture_are_the_closed_form(member_path):
    parts = mixture().distribution.components_distribution
    loc, scale = parts.mean().numpy().astype(float), parts.stddev().numpy().astype(float)
    values, path = inputs(9), member_path("mixture")
    found = run(path, "prior", noise=values["noise"], component=values["component"])["z"]
    np.testing.assert_allclose(
        found, (loc[values["component"]] + scale[values["component"]] * values["noise"]), atol=1e-6
    )
    units = (values["z"][:, None].astype(float) - loc) / scale
    each = np.sum(-0.5 * units**2 - np.log(scale) - 0.5 * np.log(2 * np.pi), axis=2)
    expected = np.log(np.exp(each) @ PROBS)
    np.testing.assert_allclose(run(path, "prior_density", z=values["z"])["log_prob"], expected, rtol=1e-5)


def test_a_user_s_own_prior_is_exported_by_its_own_functions(member_path):
    """z = sinh(1 + noise / 2): the density by the change of variables."""
    values, path = inputs(9), member_path("all")
    label = {"label": values["label"]}
    z = run(path, "prior", noise=values["noise"], **label)["z"]
    np.testing.assert_allclose(z, np.sinh(1 + values["noise"] / 2.0), rtol=1e-5)
    epsilon = values["noise"].astype(float)
    log_derivative = np.log(np.cosh(1 + epsilon / 2) / 2)
    expected = np.sum(-0.5 * epsilon**2 - 0.5 * np.log(2 * np.pi) - log_derivative, axis=1)
    found = run(path, "prior_density", z=z, **label)["log_prob"]
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_a_prior_of_each_label_depends_on_the_label(member_path):
    values, path = inputs(9), member_path("by_label")
    loc = make_member(**MEMBERS["by_label"]).prior.loc.numpy()
    found = run(path, "prior", noise=values["noise"], label=values["label"])["z"]
    np.testing.assert_allclose(found, loc[values["label"]] + np.float32(0.8) * values["noise"], atol=1e-6)


@pytest.mark.parametrize("name", MEMBERS)
def test_the_reference_is_the_sample_of_seed_0(member_path, name):
    """With its noise, its labels and its components, as docs/bundle-format.md says; and its scores are kvae's."""
    path, settings = member_path(name), MEMBERS[name]
    with np.load(path / "reference.npz") as file:
        found = dict(file)
    manifest, bundle = Manifest.read(path), Bundle.open(path, device="cpu")
    expected = {end["name"] for ends in manifest.tensors.values() for side in ends.values() for end in side} | {"elbo"}
    assert {*found} == expected
    if "noise" in found:
        np.testing.assert_array_equal(found["noise"], noise.standard_normal(0, 0, 4, LATENT_DIM))
    if settings.get("labelled"):
        np.testing.assert_array_equal(found["label"], noise.choices(0, 0, 4, manifest.label_weights, noise.LABELS))
    if "component" in found:
        np.testing.assert_array_equal(found["component"], noise.choices(0, 0, 4, manifest.components, noise.COMPONENTS))
    if "prior" not in settings:
        np.testing.assert_array_equal(found["z"], noise.standard_normal(0, 0, 4, LATENT_DIM))
    np.testing.assert_allclose(bundle.sample(4, seed=0), found["mean"], atol=1e-5)
    scores = scoring.score(bundle, found["images"], label=found.get("label"))
    np.testing.assert_allclose(scores.elbo, found["elbo"], atol=1e-3)


def test_statistics_take_the_labels_of_the_training_images(tmp_path):
    images, labels = np.rint(random_images(12) * 255).astype(np.uint8), np.arange(12) % 3
    exported = export(
        make_member(labelled=True),
        tmp_path / "b",
        dataset=DATASET,
        train_images=images,
        train_labels=labels,
        test_images=images,
        test_labels=labels,
        **label_arguments(True),
    )
    bundle = Bundle.open(exported.path, device="cpu")
    expected = scoring.training_statistics(bundle, images, labels)
    assert {name: getattr(exported.manifest, name) for name in expected} == expected
    assert expected != scoring.training_statistics(bundle, images, 0 * labels)
    assert (exported.path / "reconstructions.png").exists()


def test_labels_without_counts_are_as_likely():
    assert family.of(make_member(labelled=True), LABELS).label_weights == [round(k * 2**53 / 3) for k in (1, 2, 3)]


def test_a_prior_has_kvae_s_name_or_that_of_its_class():
    class standard_normal(Warped):  # noqa: N801
        """A user's prior with a name that the format gives another meaning."""

    assert family.prior_name(mixture()) == "MixtureSameFamily"
    assert family.prior_name(Warped(3)) == "Warped"
    assert family.prior_name(standard_normal(3)) == "own_standard_normal"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "has 3 classes; pass their names"),
        ({"labels": LABELS[:2]}, "labels must be 3 names, .*; got 2"),
        ({"labels": "abc"}, "labels must be 3 names, .*; got 1"),
        ({"labels": LABELS, "label_counts": [1, 2]}, "label_counts must be 3 numbers"),
        ({"labels": LABELS, "label_counts": [1, -1, 2]}, "label_counts must be 3 numbers of at least 0"),
        ({"labels": ["a", "a", "b"]}, "'labels' must be .* different names"),
        ({"labels": LABELS, "test_images": random_images(2)}, "pass test_labels, the label of each image"),
        ({"labels": LABELS, "test_labels": [0]}, "test_labels was given without images"),
        (
            {"labels": LABELS, "test_images": random_images(2), "test_labels": np.array([0, 3])},
            "test_labels must be from 0 to 2; got 0 to 3",
        ),
        (
            {"labels": LABELS, "test_images": random_images(2), "test_labels": np.zeros(2)},
            r"test_labels must be integers \(2,\)",
        ),
    ],
)
def test_labels_that_are_not_the_model_s_are_refused_in_one_line(tmp_path, arguments, message):
    with pytest.raises(KvaeError, match=message) as caught:
        export(make_member(labelled=True), tmp_path / "b", dataset=DATASET, **arguments)
    assert "\n" not in str(caught.value) and list(tmp_path.iterdir()) == []


def test_labels_for_a_model_without_labels_are_refused(tmp_path):
    for arguments in (label_arguments(True), {"train_images": random_images(3), "train_labels": np.arange(3)}):
        with pytest.raises(KvaeError, match="model without labels") as caught:
            export(make_vae(), tmp_path / "b", dataset=DATASET, **arguments)
        assert "\n" not in str(caught.value) and list(tmp_path.iterdir()) == []


class Rare(Prior):
    """A prior whose draws are not known as a function of noise."""

    def call(self, label=None):
        return tfd.Independent(tfd.StudentT(5.0, tf.zeros(self.latent_dim), 1.0), 1)


class WrongShape(Rare):
    def from_noise(self, noise, component=None, label=None):
        return noise[:, :1]


class Failing(Rare):
    def from_noise(self, noise, component=None, label=None):
        raise ValueError("two\nlines")


class BadMixture(Rare):
    def component_probs(self):
        return np.array([0.5, np.nan])


@pytest.mark.parametrize(
    ("prior", "message"),
    [
        (Rare(3), "draws from the prior Rare .* Define from_noise"),
        (WrongShape(3), r"must return codes of the noise's shape \(batch, 3\); it returns \(1, 1\)"),
        (Failing(3), "from_noise of the prior Failing fails: two lines"),
        (BadMixture(3), "probabilities of the prior's components must be finite"),
    ],
)
def test_a_prior_without_draws_from_noise_is_refused_in_one_line(prior, message):
    vae = VAE(MemberEncoder(), MemberDecoder(), prior)
    with pytest.raises(KvaeError, match=message) as caught:
        check(vae, IMAGE_SHAPE)
    assert "\n" not in str(caught.value)


class Wide(Warped):
    """Its draws are a fifth too wide."""

    def from_noise(self, noise, component=None, label=None):
        return super().from_noise(1.2 * noise)


class Shuffled(ByLabel):
    """Its draws are those of another label."""

    def from_noise(self, noise, component=None, label=None):
        return super().from_noise(noise, component, (label + 1) % 3)


@pytest.mark.parametrize("prior", [Wide(3), Shuffled(3, 3)])
def test_draws_that_are_not_the_prior_s_are_refused(prior):
    prior.build()
    with pytest.raises(KvaeError, match="does not draw from the distribution that the prior returns") as caught:
        family.prior_draws.check(prior, None)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("prior", [Warped(3), ByLabel(3, 3), mixture()])
def test_draws_that_are_the_prior_s_pass(prior):
    prior.build()
    family.prior_draws.check(prior, family._components(prior))


def test_groups_must_be_known_and_add_up():
    vae = make_member(groups=(1, 2))
    vae.encoder.groups = None
    vae.encoder.call = lambda images: make_member(groups=(1, 2)).encoder(images)
    with pytest.raises(KvaeError, match="give the encoder the attribute 'groups'"):
        check(vae)
    vae.encoder.groups = (1, 1)
    with pytest.raises(KvaeError, match=r"groups must be positive and add up to 3, its latent_dim; got \[1, 1\]"):
        check(vae)


def test_a_conditional_model_can_be_checked_before_its_labels_are_known():
    check(make_member(prior="by_label", labelled=True))


def test_a_prior_that_mixes_the_images_of_a_batch_is_named():
    class Mixing(Warped):
        def from_noise(self, noise, component=None, label=None):
            return super().from_noise(noise - tf.reduce_mean(noise, axis=0))

    vae = VAE(MemberEncoder(), MemberDecoder(), Mixing(3))
    with pytest.raises(NotExportable, match="prior: its result .* other images of the batch"):
        check(vae, IMAGE_SHAPE)


def test_each_label_and_component_is_compared():
    """More of them than rows: 3 labels and 130 components in batches of 1 and 2."""
    probs = np.full(130, 1 / 130, np.float32)
    parts = tfd.MultivariateNormalDiag(tf.zeros((130, LATENT_DIM)), tf.ones((130, LATENT_DIM)))
    vae = VAE(
        MemberEncoder(num_labels=3),
        MemberDecoder(),
        Fixed(tfd.MixtureSameFamily(tfd.Categorical(probs=probs), parts)),
    )
    vae.build((None, *IMAGE_SHAPE))
    found = list(cases(vae, (1, 2)))
    values = {role: [case.inputs for case in found if case.graph == role] for role in ("encoder", "prior")}
    assert {*np.concatenate([given["label"] for given in values["encoder"]])} == {0, 1, 2}
    assert {*np.concatenate([given["component"] for given in values["prior"]])} == {*range(130)}
    assert max(len(given["noise"]) for given in values["prior"]) <= 64


def test_assert_parity_compares_all_graphs_of_a_member(member_path):
    vae, path = make_member(**MEMBERS["all"]), member_path("all")
    found = assert_parity(vae, path, batch_sizes=(2,), images=random_images(3))
    assert {*found} == {"mean", "likelihood_parameters", "loc", "scale", "z", "log_prob"}
    vae.prior.shift.assign_add([0.0, 0.1, 0.0])
    with pytest.raises(AssertionError, match="log_prob .* <- too much"):
        assert_parity(vae, path, batch_sizes=(2,))
    with pytest.raises(AssertionError, match="the model has num_labels None, the bundle 3"):
        assert_parity(make_member(groups=(1, 2)), path)


@pytest.mark.parametrize("role", ["decoder", "prior", "prior_density", "encoder"])
def test_a_lone_graph_of_any_role_explains_itself(member_path, role):
    path = member_path("all") / f"{role}.onnx"
    assert Bundle.open(path, device="cpu").graphs == {role: path}
    assert verify(path).passed


def test_a_reader_of_format_1_refuses_format_2_in_one_line(member_path):
    """Its rule, `format_version` above the one it knows, is the one by which this kvae refuses format 3."""
    manifest = Manifest.read(member_path("labelled"))
    assert manifest.format_version == 2
    later = replace(manifest, format_version=3).to_json()
    with pytest.raises(KvaeError, match="format_version 3; this kvae reads versions up to 2. Install a newer kvae"):
        Manifest.from_json(later, "m")
