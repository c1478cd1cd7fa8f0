"""Bundles of format 2 in every way that images, codes and labels go through them."""

import csv
from dataclasses import replace
from pickle import dumps, loads

import numpy as np
import pytest
from gaussian_family import GROUPS, KINDS, LABEL_PROBS, LABELS, OFFSETS, SHAPE, WEIGHTS, has_labels, images, write
from PIL import Image

from kvae.bundle import noise
from kvae.data.images import open_images
from kvae.errors import BundleError, KvaeError
from kvae.runtime import Bundle, bulk, codes, paths, previews, scores, scoring
from kvae.runtime import bundle as bundle_module
from kvae.runtime.labelling import OfStream

CONDITIONAL = [kind for kind in KINDS if has_labels(kind)]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundles")
    return {kind: write(folder / kind, kind) for kind in KINDS}


@pytest.fixture(scope="module")
def bundles(folders):
    return {kind: Bundle.open(path, device="cpu") for kind, path in folders.items()}


def pixels_of(kind, count=30):
    pixels, labels = images(kind, count)
    return pixels / np.float32(255), labels if has_labels(kind) else None


# Sampling


@pytest.mark.parametrize("kind", KINDS)
def test_ten_images_are_the_start_of_a_hundred(bundles, kind):
    """Whether their labels are drawn or given; within rounding, as batches differ in size."""
    bundle = bundles[kind]
    np.testing.assert_allclose(bundle.sample(10, seed=2), bundle.sample(100, seed=2)[:10], atol=1e-6)
    np.testing.assert_allclose(bundle.sample(10, seed=2, start=70), bundle.sample(100, seed=2)[70:80], atol=1e-6)
    if has_labels(kind):
        each = np.arange(100) % 2
        found = bundle.sample(100, label=each)
        np.testing.assert_allclose(bundle.sample(10, label=each[:10]), found[:10], atol=1e-6)
        np.testing.assert_allclose(bundle.sample(1, start=31, label=LABELS[1]), found[31:32], atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_is_its_draw_decoded(bundles, kind):
    """The two graphs, chained for each batch, equal the prior's draws decoded one call after the other."""
    bundle, count = bundles[kind], 1500
    weights = bundle.manifest.label_weights
    label = None if weights is None else noise.choices(5, 40, count, weights, noise.LABELS)
    z = bundle.prior.draws(5, 40, count, 0.8, label)
    found = bundle.sample(count, seed=5, temperature=0.8, start=40)
    np.testing.assert_allclose(found, bundle.decode(z, label), atol=1e-6)
    batches = list(bundle.sample_batches(count, seed=5, temperature=0.8, start=40))
    assert [len(batch) for batch in batches] == [256] * 5 + [220]
    np.testing.assert_array_equal(np.concatenate(batches), found)


@pytest.mark.parametrize("kind", KINDS)
def test_batches_and_threads_do_not_matter(bundles, folders, kind, monkeypatch):
    found = bundles[kind].sample(700, seed=1)
    np.testing.assert_allclose(Bundle.open(folders[kind], "cpu", threads=1).sample(700, seed=1), found, atol=1e-6)
    monkeypatch.setattr(bundle_module, "BATCH_SIZE", 37)
    np.testing.assert_allclose(bundles[kind].sample(700, seed=1), found, atol=1e-6)


def test_labels_are_drawn_as_often_as_in_the_training_images(bundles):
    """Within 4 standard errors, seen in the images: at temperature 0 each is the mean of its class."""
    found = bundles["labels"].sample(4000, seed=3, temperature=0.0).reshape(4000, 12)
    of_class = 1 / (1 + np.exp(-OFFSETS))
    second = np.abs(found - of_class[1]).max(axis=1) < 1e-5
    assert np.all(second | (np.abs(found - of_class[0]).max(axis=1) < 1e-5))
    assert abs(second.mean() - LABEL_PROBS[1]) < 4 * np.sqrt(LABEL_PROBS.prod() / 4000)


def test_a_temperature_for_each_group(bundles):
    bundle = bundles["ladder"]
    z = bundle.prior.draws(0, 0, 9)
    found = bundle.sample(9, temperature=[0.0, 0.5])
    np.testing.assert_allclose(found, bundle.decode(z * np.float32([0, 0.5, 0.5])), atol=1e-6)
    np.testing.assert_array_equal(bundle.sample(9, temperature=np.array([0.5, 0.5])), bundle.sample(9, temperature=0.5))
    assert GROUPS == [1, 2]


BAD_TEMPERATURES = {
    "between 0 and 1e\\+06; got nan": float("nan"),
    "got nan": [1.0, float("nan")],
    "got -1": [1.0, -1.0],
    "got inf": np.inf,
    "one for each of the 2 groups; got 3": [1.0, 1.0, 1.0],
    "one for each of the 2 groups; got 2": [[1.0, 1.0]],
    "must be a number between 0 and 1e\\+06; got 'warm'": "warm",
    "got None": None,
}


@pytest.mark.parametrize("message", BAD_TEMPERATURES)
def test_a_temperature_that_is_none_is_one_line(bundles, message):
    for call in (bundles["ladder"].sample, bundles["ladder"].sample_batches):
        with pytest.raises(KvaeError, match=message):
            call(4, temperature=BAD_TEMPERATURES[message])


def test_only_a_model_with_groups_takes_several_temperatures(bundles):
    with pytest.raises(KvaeError, match="one number, because this model has no groups; got 2"):
        bundles["mixture"].sample(4, temperature=[1.0, 0.5])


# Codes


def test_a_ladder_s_posterior_is_that_after_the_draws_above(bundles):
    """Dimension 0 does not depend on the noise; the others move with that of dimension 0, linearly, and no other."""
    pixels, _ = pixels_of("ladder", 4)
    bundle = bundles["ladder"]
    at_zero = bundle.encode(pixels)
    np.testing.assert_array_equal(at_zero.loc, bundle.encode(pixels, noise=np.zeros((4, 3))).loc)
    once, twice = (bundle.encode(pixels, noise=np.tile([k, 9.0, -9.0], (4, 1))) for k in (1.0, 2.0))
    np.testing.assert_array_equal(once.loc[:, 0], at_zero.loc[:, 0])
    np.testing.assert_allclose(twice.loc - at_zero.loc, 2 * (once.loc - at_zero.loc), atol=1e-5)
    assert np.abs(once.loc - at_zero.loc)[:, 1:].min() > 1e-3
    np.testing.assert_allclose(bundle.reconstruct(pixels), bundle.decode(at_zero.loc), atol=1e-6)


def test_noise_is_for_models_with_groups(bundles):
    pixels, _ = pixels_of("mixture", 2)
    with pytest.raises(KvaeError, match="takes no noise"):
        bundles["mixture"].encode(pixels, noise=np.zeros((2, 3)))
    with pytest.raises(KvaeError, match="noise must have shape"):
        bundles["ladder"].encode(pixels, noise=np.zeros((2, 2)))


def test_a_decoded_code_is_of_its_label(bundles):
    z = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    for label in (0, 1):
        expected = 1 / (1 + np.exp(-(z @ WEIGHTS.T + OFFSETS[label])))
        np.testing.assert_allclose(bundles["labels"].decode(z, LABELS[label]).reshape(5, 12), expected, atol=1e-6)
    each = bundles["labels"].decode(z, [0, 1, 0, 1, 0])
    np.testing.assert_allclose(each[1::2], bundles["labels"].decode(z[1::2], 1), atol=1e-6)


def test_the_best_label_has_the_highest_elbo(bundles):
    """Of the scores with each label; most images are of the class whose mean is nearest."""
    bundle = bundles["labels"]
    pixels, _ = pixels_of("labels", 60)
    elbo = np.stack([scoring.score(bundle, pixels, label=label).elbo for label in (0, 1)])
    found = scoring.score(bundle, pixels, label="best")
    np.testing.assert_array_equal(found.label, elbo.argmax(axis=0))
    np.testing.assert_array_equal(found.elbo, elbo.max(axis=0))
    np.testing.assert_allclose(found.elbo, -found.distortion - found.rate)
    assert 0 < found.label.sum() < 60
    for method in (bundle.encode, bundle.reconstruct):
        np.testing.assert_array_equal(method(pixels, "best"), method(pixels, found.label))


@pytest.mark.parametrize("kind", KINDS)
def test_labels_are_asked_for_exactly_where_the_model_has_them(bundles, kind):
    bundle = bundles[kind]
    pixels, _ = pixels_of(kind, 3)
    label, message = (None, "this model is conditional") if has_labels(kind) else (0, "this model has no labels")
    for call in (
        lambda: bundle.decode(np.zeros((3, 3)), label),
        lambda: bundle.encode(pixels, label),
        lambda: bundle.reconstruct(pixels, label),
        lambda: scoring.score(bundle, pixels, label=label),
        lambda: scoring.training_statistics(bundle, images(kind, 3)[0], label),
        lambda: bundle.sample(3, label="no such") if label is None else bundle.sample(3, label=label),
    ):
        with pytest.raises(KvaeError, match=f"{message}|is unknown") as caught:
            call()
        assert "\n" not in str(caught.value)


# Graphs


def test_graphs_run_as_they_are(bundles):
    bundle = bundles["label prior"]
    assert set(bundle.graphs) == {"decoder", "encoder", "prior", "prior_density"}
    found = bundle.run("prior", {"noise": np.zeros((2, 3)), "label": np.array([1, 0])})["z"]
    np.testing.assert_allclose(bundle.run("prior_density", {"z": found, "label": [1, 0]})["log_prob"].shape, (2,))
    for label in ([0.5, 1.0], [[1], [0]], ["a", "b"], np.array([True, False])):
        with pytest.raises(KvaeError, match="label must be integers of shape"):
            bundle.run("prior", {"noise": np.zeros((2, 3)), "label": label})


@pytest.mark.parametrize("kind", KINDS)
def test_a_lone_graph_knows_its_role(bundles, folders, kind):
    for role, path in bundles[kind].graphs.items():
        assert list(Bundle.open(path, "cpu").graphs) == [role]
    lone = Bundle.open(folders[kind] / "decoder.onnx", "cpu")
    if bundles[kind].manifest.has_own_prior:
        with pytest.raises(BundleError, match="no graph 'prior'; open the whole bundle folder"):
            lone.sample(3)
    else:
        np.testing.assert_array_equal(lone.sample(3), bundles[kind].sample(3))


def test_a_bundle_can_be_pickled_and_held_in_memory(bundles, folders):
    bundle = bundles["label prior"]
    np.testing.assert_array_equal(loads(dumps(bundle)).sample(5), bundle.sample(5))


# Files


@pytest.fixture
def stream(tmp_path, monkeypatch):
    """Twelve images of the model "labels" in a .npy, with a picture that cannot be used after the first five."""
    monkeypatch.setattr("kvae.data.image_files.BATCH", 4)
    pixels, labels = images("labels", 12)
    np.save(tmp_path / "a.npy", pixels[:5])
    np.save(tmp_path / "b.npy", pixels[5:])
    (tmp_path / "bad.png").write_bytes(b"no picture")
    files = [tmp_path / name for name in ("a.npy", "bad.png", "b.npy")]
    return open_images(files, tuple(SHAPE), max_bad=1), pixels / np.float32(255), labels


def test_labels_follow_their_images_past_one_that_is_skipped(bundles, stream, tmp_path):
    source, pixels, labels = stream
    bundle, given = bundles["labels"], np.insert(labels, 5, 1 - labels[5])
    codes.write(bundle, source, source.batches(), tmp_path / "codes.npz", given)
    with np.load(tmp_path / "codes.npz") as found:
        assert set(found) == {"loc", "scale", "names", "label"}
        np.testing.assert_array_equal(found["label"], labels)
        np.testing.assert_allclose(found["loc"], bundle.encode(pixels, labels).loc, atol=1e-6)
    opened = codes.open_codes(tmp_path / "codes.npz", 3)
    decoded = np.concatenate(list(codes.decode(bundle, opened)))
    np.testing.assert_allclose(decoded, bundle.reconstruct(pixels, labels), atol=1e-6)
    other = np.concatenate(list(codes.decode(bundle, opened, "left shoe")))
    np.testing.assert_allclose(other, bundle.decode(bundle.encode(pixels, labels).loc, 0), atol=1e-6)
    pairs = list(codes.reconstruct(bundle, source.batches(), OfStream(bundle, source, given)))
    np.testing.assert_allclose(np.concatenate([pair[1] for pair in pairs]), decoded, atol=1e-6)
    rows = [row for batch in scores.score(bundle, source, label=given) for row in batch]
    assert [row.label for row in rows] == [LABELS[label] for label in labels]
    np.testing.assert_allclose([row.elbo for row in rows], scoring.score(bundle, pixels, label=labels).elbo, rtol=1e-6)


def test_codes_without_labels_need_some(bundles, tmp_path):
    np.save(tmp_path / "z.npy", np.zeros((3, 3), np.float32))
    opened = codes.open_codes(tmp_path / "z.npy", 3)
    with pytest.raises(KvaeError, match="this model is conditional"):
        codes.decode(bundles["labels"], opened)
    with pytest.raises(KvaeError, match="one for each of the 3 images"):
        codes.decode(bundles["labels"], opened, [0, 1])


def test_scores_name_the_label_in_every_form(bundles, stream, tmp_path):
    source, pixels, _ = stream
    best = scoring.score(bundles["labels"], pixels, label="best").label
    scores.write_csv(scores.score(bundles["labels"], source, label="best"), tmp_path / "a.csv", labelled=True)
    with (tmp_path / "a.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["label"] for row in rows] == [LABELS[label] for label in best]
    row = next(scores.score(bundles["labels"], source, label=1))[0]
    assert row.as_dict()["label"] == "Ankle boot" and row.as_text().endswith("(Ankle boot)")
    source, _ = open_images([tmp_path / "a.npy"], tuple(SHAPE)), None
    row = next(scores.score(bundles["mixture"], source))[0]
    assert "label" not in row.as_dict()


def test_percentiles_are_among_training_images_with_their_labels(bundles, folders, tmp_path):
    """The statistics hold the percentiles of the same scores; the rates are the means of the closed form."""
    pixels, labels = images("labels", 200)
    found = scoring.training_statistics(bundles["labels"], pixels, labels)
    of_each = scoring.score(bundles["labels"], pixels / np.float32(255), label=labels)
    np.testing.assert_allclose(found["scoring"]["elbo"], np.percentile(of_each.elbo, scoring.PERCENTS), rtol=1e-5)
    np.testing.assert_allclose(sum(found["posterior"]["rate"]), of_each.rate.mean(), rtol=1e-5)
    other = scoring.training_statistics(bundles["labels"], pixels, 1 - labels)
    assert other["scoring"]["elbo"][50] < found["scoring"]["elbo"][50]


def test_a_ladder_s_statistics_are_those_of_draws(bundles):
    """One draw for each image: the rates by dimension add up to the mean rate, within 4 standard errors."""
    pixels, _ = images("ladder", 300)
    found = scoring.training_statistics(bundles["ladder"], pixels)["posterior"]
    rate = scoring.score(bundles["ladder"], pixels / np.float32(255)).rate
    assert abs(sum(found["rate"]) - rate.mean()) < 4 * rate.std() / np.sqrt(300)
    loc = bundles["ladder"].encode(pixels / np.float32(255)).loc
    np.testing.assert_allclose(found["loc_mean"][0], loc[:, 0].mean(), atol=1e-5)


def test_another_prior_s_dimensions_have_the_rate_to_their_own_gaussian(bundles):
    pixels, _ = images("mixture", 200)
    found = scoring.training_statistics(bundles["mixture"], pixels)["posterior"]
    loc, scale = (part.astype(np.float64) for part in bundles["mixture"].encode(pixels / np.float32(255)))
    mean, variance = loc.mean(axis=0), np.mean(loc**2 + scale**2, axis=0) - loc.mean(axis=0) ** 2
    kl = 0.5 * ((scale**2 + (loc - mean) ** 2) / variance - 1 + np.log(variance)) - np.log(scale)
    np.testing.assert_allclose(found["rate"], kl.mean(axis=0), rtol=1e-5)


@pytest.mark.parametrize("label", ["best", 1, "each"])
@pytest.mark.parametrize("verb", ["encode", "score"])
def test_shards_of_images_with_labels_equal_one_call(bundles, folders, stream, tmp_path, verb, label):
    _, pixels, labels = stream
    given = labels if label == "each" else label
    np.save(tmp_path / "all.npy", np.rint(pixels * 255).astype(np.uint8))
    job, pieces = bulk.of_images(
        verb, folders["labels"], [tmp_path / "all.npy"], tmp_path / "o", shard_size=5, label=given
    )
    (tmp_path / "o").mkdir()
    maker = bulk.Maker(job)
    for shard in (2, 0, 1):
        maker.make(shard, pieces[shard])
    parts = [tmp_path / "o" / job.plan.part(shard) for shard in range(3)]
    expected = scoring.score(bundles["labels"], pixels, label=given)
    if verb == "encode":
        loaded = [np.load(part) for part in parts]
        np.testing.assert_array_equal(np.concatenate([part["label"] for part in loaded]), expected.label)
        loc = np.concatenate([part["loc"] for part in loaded])
        np.testing.assert_allclose(loc, bundles["labels"].encode(pixels, given).loc, atol=1e-6)
    else:
        rows = [row for part in parts for row in csv.DictReader(part.read_text().splitlines())]
        np.testing.assert_allclose([float(row["elbo"]) for row in rows], expected.elbo, rtol=1e-6)
        assert [row["label"] for row in rows] == [LABELS[index] for index in expected.label]


@pytest.mark.parametrize("kind", KINDS)
def test_shards_of_samples_equal_one_call(bundles, folders, tmp_path, kind):
    settings = {"temperature": [0.5, 1.5]} if kind.startswith("ladder") else {"temperature": 0.5}
    if kind == "labels":
        settings["label"] = np.arange(700) % 2
    job = bulk.of_samples(folders[kind], 700, tmp_path / "o", seed=3, shard_size=256, **settings)
    (tmp_path / "o").mkdir()
    maker = bulk.Maker(job)
    for shard in (1, 2, 0):
        maker.make(shard, None)
    found = np.concatenate([np.load(tmp_path / "o" / job.plan.part(shard)) for shard in range(3)])
    np.testing.assert_allclose(found, bundles[kind].sample(700, seed=3, **settings), atol=1e-6)


def test_a_plan_names_the_label_only_if_one_was_given(folders, tmp_path):
    def settings(**given):
        return bulk.of_samples(folders["labels"], 10, tmp_path / "o", **given).plan.settings

    assert settings() == {"seed": 0, "temperature": 1.0}
    assert settings(label="ankle boot") == settings(label=1) == settings(label=[1] * 10) == settings() | {"label": 1}
    each = settings(label=[0, 1] * 5)
    assert each["label"].startswith("sha256 ") and each != settings(label=[1, 0] * 5)
    with pytest.raises(KvaeError, match="out of range"):
        settings(label=2)


# Paths and pictures


@pytest.fixture
def two(tmp_path):
    """Two pictures, of class 0 and 1."""
    pixels, labels = images("labels", 12)
    found = []
    for label in (0, 1):
        found.append(tmp_path / f"{label}.png")
        Image.fromarray(pixels[labels == label][0, ..., 0]).save(found[-1])
    return found, np.stack([pixels[labels == label][0] for label in (0, 1)]) / np.float32(255)


def test_a_path_between_classes_changes_the_label_after_its_middle(bundles, two):
    files, pixels = two
    bundle = bundles["labels"]
    found = paths.between(bundle, *files, steps=5, label=[0, 1])
    first, last = bundle.encode(pixels, [0, 1]).loc
    expected = bundle.decode(paths.interpolate(first, last, 5), [0, 0, 0, 1, 1])
    np.testing.assert_allclose(found, expected, atol=1e-6)
    same = paths.between(bundle, *files, steps=4, label="ankle boot")
    np.testing.assert_allclose(same[0], bundle.reconstruct(pixels[:1], 1)[0], atol=1e-6)
    np.testing.assert_array_equal(paths.ends(bundle, *files, label="best"), bundle.encode(pixels, "best").loc)


@pytest.mark.parametrize("kind", KINDS)
def test_a_traversal_reaches_the_prior_s_standard_deviations(bundles, kind):
    bundle, label = bundles[kind], 1 if has_labels(kind) else None
    mean, scale = bundle.prior.mean(label), bundle.prior.scale(label)
    found = paths.traverse(bundle, mean, [2], 3, 2.0, label)
    codes_of_row = np.stack([mean, mean, mean])
    codes_of_row[:, 2] = mean[2] + scale[2] * np.float32([-2, 0, 2])
    np.testing.assert_allclose(found[0], bundle.decode(codes_of_row, label), atol=1e-6)


def test_a_traversal_of_a_ladder_goes_group_by_group(bundles):
    zeros = [0.0] * 3
    posterior = {"num_images": 1, "loc_mean": zeros, "loc_std": zeros, "scale_mean": zeros, "rate": [0.1, 0.5, 2.0]}
    known = replace(bundles["ladder"].manifest, posterior=posterior)
    assert paths.dimensions(known) == [0, 2, 1]
    assert [paths.group_of(known, index) for index in range(3)] == [0, 1, 1]


@pytest.mark.parametrize("kind", ["labels", "ladder", "mixture"])
def test_a_drawn_traversal(bundles, two, tmp_path, kind):
    label = "best" if kind == "labels" else None
    assert paths.draw_traversal(bundles[kind], two[0][0], 3, 2.0, tmp_path / "t.png", label=label) == [0, 1, 2]
    assert paths.draw_traversal(bundles[kind], None, 3, 2.0, tmp_path / "t.png", label=label and 1) == [0, 1, 2]
    if label:
        with pytest.raises(KvaeError, match="'best' needs a picture"):
            paths.draw_traversal(bundles[kind], None, 3, 2.0, tmp_path / "t.png", label=label)


@pytest.mark.parametrize("kind", CONDITIONAL)
def test_a_conditional_model_s_preview_has_a_row_for_each_class(bundles, tmp_path, kind):
    found, columns = previews.samples(bundles[kind])
    assert found.shape == (16, *SHAPE) and columns == 8
    np.testing.assert_allclose(found[8:], bundles[kind].sample(8, start=8, label="Ankle boot"), atol=1e-6)
    pixels, labels = images(kind, 40)
    for given in (labels, None):
        assert len(previews.draw_pictures(bundles[kind], pixels, tmp_path, given)) == 2
