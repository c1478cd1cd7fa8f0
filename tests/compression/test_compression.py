"""Compressing with real bundles: exact images back, at the rate that the -ELBO says."""

import json
import struct
import zlib
from itertools import pairwise

import numpy as np
import pytest
from tiny import DATASET, make_vae

from kvae.compression import codes, compress, decompress, decompressed, kvz, pixels, priors, rounding
from kvae.compression.codes import Gaussians, Grid
from kvae.compression.kvz import Reader
from kvae.compression.stack import INITIAL_KEY, Stack
from kvae.data.images import open_images
from kvae.errors import DataError, KvaeError
from kvae.export import bundles
from kvae.files import pictures
from kvae.runtime import scoring
from kvae.runtime.bundle import Bundle

SHAPE = (8, 8, 1)
BITS = np.random.default_rng(0).integers(0, 2, (50, *SHAPE)).astype(np.uint8) * 255
"""Images for the models of bits."""


def levels(count, shape=SHAPE, seed=0):
    """8-bit images, half of them noise and half smooth, with black and white in them."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (count, *shape)).astype(np.uint8)
    ramp = np.linspace(-50, 300, shape[1])[:, None] + rng.normal(0, 20, (count, 1, 1, shape[2]))
    images[::2] = np.clip(np.broadcast_to(ramp, images.shape), 0, 255)[::2]
    return images


@pytest.fixture(scope="module")
def of_levels(tmp_path_factory):
    """The bundle of a model of 8-bit images, by its architecture and its number of channels."""
    made = {}

    def path(architecture="mlp", channels=1):
        key = architecture, channels
        if key not in made:
            vae = make_vae((8, 8, channels), architecture=architecture, likelihood="discretized_logistic")
            out = tmp_path_factory.mktemp("levels") / "bundle"
            made[key] = bundles.export(vae, out, dataset=DATASET).path
        return made[key]

    return path


def round_trip(model, images, out, **settings):
    """The result of compressing, after a look at what comes back."""
    found = compress(model, images, out, **settings)
    parts = [part for part, _ in decompressed(out, model)]
    np.testing.assert_array_equal(np.concatenate(parts), images)
    assert found.bytes == out.stat().st_size
    assert found.bits_per_dim == pytest.approx(8 * found.bytes / images.size)
    return found


@pytest.mark.parametrize("coding", ["bits-back", "cross-entropy"])
@pytest.mark.parametrize("portable", [False, True])
def test_images_of_8_bits_come_back(of_levels, tmp_path, coding, portable):
    for architecture, channels in (("mlp", 1), ("conv", 3)):
        images = levels(41, (8, 8, channels))
        round_trip(of_levels(architecture, channels), images, tmp_path / "a.kvz", coding=coding, portable=portable)


@pytest.mark.parametrize("member", ["mixture", "labelled", "groups", "by_label"])
@pytest.mark.parametrize("coding", ["bits-back", "cross-entropy"])
def test_bits_come_back_from_every_kind_of_model(member_path, tmp_path, member, coding):
    """Mixtures as priors, labels, ladders, and a prior of its own for each label."""
    model = member_path(member)
    labels = np.random.default_rng(1).integers(0, 3, 50) if member in ("labelled", "by_label") else None
    round_trip(model, BITS, tmp_path / "a.kvz", coding=coding, label=labels)
    given = [known for _, known in decompressed(tmp_path / "a.kvz", model)]
    if labels is None:
        assert given == [None]
    else:
        np.testing.assert_array_equal(given[0], labels)


def test_a_ladder_s_groups_are_portable_too(member_path, tmp_path):
    round_trip(member_path("groups"), BITS, tmp_path / "a.kvz", portable=True)


@pytest.mark.parametrize("batch", [1, 7, 256])
def test_any_batch_size(of_levels, tmp_path, batch):
    round_trip(of_levels(), levels(20), tmp_path / "a.kvz", batch=batch)
    with Reader(tmp_path / "a.kvz") as reader:
        assert reader.header.batch == batch


def test_the_rate_is_the_elbo_in_closed_form(of_levels, tmp_path):
    """The file weighs what `scoring` says, from other draws; with H(q) more without bits back."""
    images, model = levels(3000), of_levels()
    weights = {}
    for coding in ("bits-back", "cross-entropy"):
        found = round_trip(model, images, tmp_path / "a.kvz", coding=coding)
        weights[coding] = found
    bundle = Bundle.open(model, "cpu")
    scores = scoring.score(bundle, pictures.to_float32(images))
    per_dim = 1 / (np.log(2) * images[0].size)
    elbo = -scores.elbo.mean() * per_dim
    with_bits_back, without = weights["bits-back"], weights["cross-entropy"]
    assert with_bits_back.elbo_bits_per_dim == pytest.approx(elbo, rel=0.005)
    assert with_bits_back.rate_bits_per_dim == pytest.approx(scores.rate.mean() * per_dim, rel=1e-4)
    assert with_bits_back.bits_per_dim == pytest.approx(elbo, rel=0.01)

    # In closed form: H(q) of a Gaussian in bins of a width, and H(q, p) under N(0, 1).
    with Reader(tmp_path / "a.kvz") as reader:
        width = 2.0**-reader.header.precision
    loc, scale = (part.astype(np.float64) for part in bundle.encode(pictures.to_float32(images)))
    entropy = np.sum(np.log2(scale / width * np.sqrt(2 * np.pi * np.e)), axis=1).mean() / 64
    crossed = np.sum(np.log2(np.sqrt(2 * np.pi) / width) + (loc**2 + scale**2) / 2 / np.log(2), axis=1).mean() / 64
    for found in weights.values():
        assert found.entropy_bits_per_dim == pytest.approx(entropy, rel=0.01)
        assert found.cross_entropy_bits_per_dim == pytest.approx(crossed, rel=0.01)
    assert without.bits_per_dim - with_bits_back.bits_per_dim == pytest.approx(entropy, rel=0.02)


def test_a_mixture_costs_its_own_density(member_path):
    """-log2 p(z), not that of p(z, c): the component's bits come back."""
    bundle = Bundle.open(member_path("mixture"), "cpu", 1)
    grid = Grid(6, 4)
    z = bundle.prior.draws(0, 0, 400)
    symbols = np.rint(z * 2.0**grid.precision).astype(np.int64) + grid.bins // 2
    stack, prior = Stack(key=INITIAL_KEY), priors.Prior(grid, priors.components(bundle))
    prior.push(stack, symbols, None, 0)
    exact = -bundle.prior.log_prob(grid.codes(symbols)) / np.log(2) + 3 * grid.precision
    assert stack.information / 400 == pytest.approx(exact.mean(), abs=0.05)
    np.testing.assert_array_equal(prior.pop(Stack(stack.words()), 400, None, 0), symbols)


def test_labels_cost_what_their_weights_say(member_path, tmp_path):
    labels = np.tile([0, 1, 2, 2, 2, 2, 1, 2], 25)  # as often as among the training images: 1, 2 and 5 of 8
    images = np.tile(BITS, (4, 1, 1, 1))
    found = round_trip(member_path("labelled"), images, tmp_path / "a.kvz", label=labels)
    shares = np.array([1, 2, 5]) / 8
    assert found.label_bits_per_dim * 64 == pytest.approx(-np.sum(shares * np.log2(shares)), rel=1e-3)


def test_blocks_stream(of_levels, tmp_path, monkeypatch):
    """No more than a block of images is held, and each begins a stack."""
    monkeypatch.setattr(kvz, "MAX_BLOCK", 8)
    images = levels(20)
    compress(of_levels(), images, tmp_path / "a.kvz")
    parts = [part for part, _ in decompressed(tmp_path / "a.kvz", of_levels())]
    assert [len(part) for part in parts] == [8, 8, 4]
    np.testing.assert_array_equal(np.concatenate(parts), images)


def test_images_in_files_and_back_into_files(of_levels, tmp_path):
    images = levels(9)
    np.save(tmp_path / "images.npy", images)
    stream = open_images([tmp_path / "images.npy"], SHAPE)
    told = []
    compress(of_levels(), stream, tmp_path / "a.kvz", progress=lambda *now: told.append(now))
    assert told[-1] == (18, 18) and all(one[0] <= other[0] for one, other in pairwise(told))
    assert decompress(tmp_path / "a.kvz", of_levels(), tmp_path / "b.npy") == 9
    back = np.load(tmp_path / "b.npy")
    assert back.dtype == np.uint8
    np.testing.assert_array_equal(back, images)
    decompress(tmp_path / "a.kvz", of_levels(), tmp_path / "pngs")
    again = open_images([tmp_path / "pngs"], SHAPE)
    np.testing.assert_array_equal(pictures.to_uint8(next(again.batches()).images), images)


class Elsewhere:
    """Graphs as another machine computes them: a little differently."""

    def __init__(self, monkeypatch, by):
        run, rng = Bundle.run, np.random.default_rng(0)

        def other(bundle, graph, inputs, outputs=None):
            found = run(bundle, graph, inputs, outputs)
            return {
                name: (values * (1 + by * rng.uniform(-1, 1, values.shape))).astype(np.float32)
                for name, values in found.items()
            }

        monkeypatch.setattr(Bundle, "run", other)


def test_on_another_machine_a_portable_file_gives_the_images_and_another_says_that_it_cannot(
    of_levels, tmp_path, monkeypatch
):
    for module in (pixels, codes, rounding):  # so that in few images many numbers are close to the middle
        monkeypatch.setattr(module, "TOLERANCE", 3e-3)
    images, model = levels(100), of_levels()
    compress(model, images, tmp_path / "portable.kvz", portable=True)
    compress(model, images, tmp_path / "not.kvz")
    Elsewhere(monkeypatch, 1e-3)
    (back, _), *_ = decompressed(tmp_path / "portable.kvz", model)
    np.testing.assert_array_equal(back, images)
    with pytest.raises(KvaeError, match="cannot be decoded here.*--portable"):
        list(decompressed(tmp_path / "not.kvz", model))


def test_a_machine_that_differs_by_more_never_gives_wrong_pixels(of_levels, tmp_path, monkeypatch):
    model = of_levels()
    compress(model, levels(50), tmp_path / "a.kvz", portable=True)
    Elsewhere(monkeypatch, 0.01)
    monkeypatch.setattr("kvae.compression.compression.machine", lambda: {"processor": "abacus", "onnxruntime": "9"})
    with pytest.raises(KvaeError, match="here abacus"):
        decompress(tmp_path / "a.kvz", model, tmp_path / "b.npy")
    assert not (tmp_path / "b.npy").exists()


def straddling(count=3000):
    """Numbers a hair from where they, or their tolerances, are rounded up, and what another machine makes of them."""
    rng = np.random.default_rng(0)
    here = rng.choice([1.5, 2.5, 3.5, 2**0.05, 2**1.05, 1.53125, 2.59375], count) * rng.choice([-1, 1], count)
    here = here * (1 + 1e-6 * rng.uniform(-1, 1, count))
    return here, here * (1 + 1e-5 * rng.uniform(-1, 1, count))


def test_margins_are_the_same_on_both_sides_of_a_half():
    """What a note costs depends on its margin, so a margin that differs would misread all notes."""
    here, there = straddling()
    grid = Gaussians(Grid(8, 3), 1.0)
    scale = np.random.default_rng(1).uniform(0.02, 1.0, len(here))

    def of_codes(rounded, values):
        return np.concatenate(grid.rounded(rounded, values, scale * values / here))

    def of_bits(rounded, values):
        return (
            pixels.of("bernoulli").intervals(values[:, None], rounded).interval(np.ones(len(values), int), slice(None))
        )

    def of_levels(rounded, values):
        parameters = np.stack([values, scale * values / here], axis=-1)
        return (
            pixels.of("discretized_logistic")
            .intervals(parameters, rounded)
            .interval(np.full(len(values), 99), slice(None))
        )

    for rounds in (of_codes, of_bits, of_levels):
        stack, noted = Stack(key=INITIAL_KEY), rounding.Noted()
        expected = rounds(noted, here)
        noted.push(stack)
        np.testing.assert_array_equal(rounds(rounding.Told(Stack(stack.words())), there), expected)


def test_a_machine_that_does_not_repeat_its_own_numbers_writes_nothing(of_levels, tmp_path, monkeypatch):
    Elsewhere(monkeypatch, 0.01)  # by other numbers in each call
    with pytest.raises(KvaeError, match=r"a\.kvz was not written: this machine does not repeat its own numbers"):
        compress(of_levels(), levels(50), tmp_path / "a.kvz")
    assert not list(tmp_path.iterdir())


def test_another_bundle_is_refused(of_levels, bundle_path, tmp_path):
    compress(of_levels(), levels(3), tmp_path / "a.kvz")
    with pytest.raises(KvaeError, match="another bundle"):
        decompress(tmp_path / "a.kvz", bundle_path, tmp_path / "b.npy")


def test_grey_images_have_no_code_under_a_model_of_bits(bundle_path, tmp_path):
    with pytest.raises(KvaeError, match=r"images\[1\] is grey.*discretized_logistic"):
        compress(bundle_path, np.stack([BITS[0], levels(1, seed=3)[0]]), tmp_path / "a.kvz")
    assert not list(tmp_path.iterdir())


def test_values_between_levels_are_refused(of_levels, tmp_path):
    np.save(tmp_path / "images.npy", np.full((2, *SHAPE), 0.5, np.float32))
    with pytest.raises(KvaeError, match="8-bit"):
        compress(of_levels(), open_images([tmp_path / "images.npy"], SHAPE), tmp_path / "a.kvz")


def test_a_density_is_no_code(tmp_path):
    model = bundles.export(make_vae(likelihood="normal"), tmp_path / "normal", dataset=DATASET).path
    with pytest.raises(KvaeError, match="normal.*discretized_logistic"):
        compress(model, levels(3), tmp_path / "a.kvz")


def test_a_prior_that_is_no_mixture_is_refused(member_path, tmp_path):
    with pytest.raises(KvaeError, match="mixture"):
        compress(member_path("all"), BITS, tmp_path / "a.kvz", label=1)
    with pytest.raises(KvaeError, match="portable"):
        compress(member_path("mixture"), BITS, tmp_path / "a.kvz", portable=True)


@pytest.mark.parametrize("images", [BITS[..., 0], BITS[:0], BITS.astype(np.float32), np.zeros((2, 8, 9, 1), np.uint8)])
def test_arrays_that_are_none_of_the_model_s_images(of_levels, tmp_path, images):
    with pytest.raises(KvaeError, match="uint8"):
        compress(of_levels(), images, tmp_path / "a.kvz")


@pytest.mark.parametrize("settings", [{"coding": "huffman"}, {"batch": 0}, {"batch": 257}])
def test_settings_out_of_range(of_levels, tmp_path, settings):
    with pytest.raises(KvaeError):
        compress(of_levels(), levels(3), tmp_path / "a.kvz", **settings)


def test_an_interrupted_run_leaves_nothing(of_levels, tmp_path):
    (tmp_path / "a.kvz").write_bytes(b"before")

    def interrupt(done, total):
        if done > 100:
            raise KeyboardInterrupt

    for count in (60, 150):  # while the file is decoded again, and while it is written
        with pytest.raises(KeyboardInterrupt):
            compress(of_levels(), levels(count), tmp_path / "a.kvz", progress=interrupt)
        assert [path.name for path in tmp_path.iterdir()] == ["a.kvz"]
        assert (tmp_path / "a.kvz").read_bytes() == b"before"


@pytest.fixture
def whole(of_levels, tmp_path):
    """A file of two blocks, as bytes, and a function that reads other bytes in its place."""
    path = tmp_path / "a.kvz"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kvz, "MAX_BLOCK", 16)
        compress(of_levels(), levels(20), path)

    def read(content):
        path.write_bytes(content)
        return list(decompressed(path, of_levels()))

    return path.read_bytes(), read


def test_every_damaged_byte_is_noticed(whole):
    content, read = whole
    for place in [*range(0, 80, 7), *range(80, len(content), len(content) // 40)]:
        broken = bytearray(content)
        broken[place] ^= 1 << place % 8
        with pytest.raises(DataError):
            read(bytes(broken))


def test_files_that_are_cut_or_longer(whole):
    content, read = whole
    for size in (0, 5, 8, 12, 100, len(content) // 2, len(content) - 1):
        with pytest.raises(DataError):
            read(content[:size])
    with pytest.raises(DataError, match="follows"):
        read(content + b"x")


def with_header(content, **changes):
    """A file with other fields in its header, and the right checksum."""
    (length,) = struct.unpack("<I", content[8:12])
    values = json.loads(content[16 : 16 + length]) | changes
    text = json.dumps(values).encode()
    return content[:8] + struct.pack("<II", len(text), zlib.crc32(text)) + text + content[16 + length :]


@pytest.mark.parametrize(
    "changes",
    [
        {"coding": "none"}, {"portable": 1}, {"count": 0}, {"count": 2.0}, {"batch": 10**6}, {"precision": 40},
        {"reach": 0}, {"image_shape": [8, 8]}, {"image_shape": [8, 8, True]}, {"graphs": 3}, {"machine": {"a": 1}},
        {"block": 10**9}, {"image_shape": [2**20, 2**20, 3]}, {"format_version": 2}, {"format_version": None},
    ],
)  # fmt: skip
def test_headers_that_are_not_possible(whole, changes):
    content, read = whole
    assert len(read(with_header(content))) == 2
    with pytest.raises(DataError, match=r"damaged|newer kvae"):
        read(with_header(content, **changes))


@pytest.mark.parametrize("changes", [{"precision": 5}, {"batch": 5}, {"coding": "cross-entropy"}, {"portable": True}])
def test_a_header_of_other_settings_never_gives_wrong_pixels(whole, changes):
    """A line that says it cannot, or, where the settings make no difference to these images, the images."""
    content, read = whole
    try:
        found = read(with_header(content, **changes))
    except KvaeError as error:
        assert "cannot be decoded" in str(error)
        return
    assert "portable" in changes  # no number of these is close to the middle
    np.testing.assert_array_equal(np.concatenate([part for part, _ in found]), levels(20))


def test_components_are_read_off_the_draws(member_path):
    """Of a mixture whose parameters `family.mixture` states, and of a Gaussian for each label."""
    rng = np.random.default_rng(2)
    found = priors.components(Bundle.open(member_path("mixture"), "cpu", 1))
    np.testing.assert_allclose(found.loc[0], 1.5 * rng.normal(size=(4, 3)), rtol=1e-5)
    np.testing.assert_allclose(found.scale[0], rng.uniform(0.3, 0.9, size=(4, 3)), rtol=1e-5)
    np.testing.assert_allclose(found.weights / 2**53, [0.5, 0.25, 0.125, 0.125])
    by_label = priors.components(Bundle.open(member_path("by_label"), "cpu", 1))
    assert by_label.loc.shape == (3, 1, 3)
    np.testing.assert_allclose(by_label.scale, 0.8, rtol=1e-5)


def test_posteriors_on_a_grid_are_close_to_themselves():
    gaussians = Gaussians(Grid(6, 3), 1.0)
    rng = np.random.default_rng(0)
    loc, scale = rng.normal(size=(40, 3)), rng.uniform(0.02, 1.5, (40, 3))
    means, deviations = gaussians.values(*gaussians.rounded(rounding.Nearest(), loc, scale))
    assert np.all(np.abs(means - loc) <= deviations / 8 * 1.01)
    np.testing.assert_allclose(deviations, scale, rtol=0.045)
    np.testing.assert_allclose(Grid(6, 3).codes(np.array([0, 512, 1023])), [-8, 0, 8 - 1 / 64])
