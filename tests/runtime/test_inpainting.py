"""Inpainting against closed forms: linear Gaussian models, whose missing pixels given the seen ones are known."""

import threading

import gaussian_family as gaussians
import numpy as np
import pytest
from onnx import helper
from tiny import random_images

from kvae.bundle import noise
from kvae.errors import BundleError, KvaeError
from kvae.runtime import Bundle, inpainting, proposals
from kvae.runtime.inpainting import CHAINS, Settings

DRAWS = 400
"""Each is the end of a chain of its own, so that the effective sample size of their mean is their number."""
ERRORS = 5
"""Standard errors within which an estimate must lie; one of a thousand that are compared lies outside by chance once in
two thousand tests."""
MISSING = np.zeros(gaussians.SHAPE, bool)
MISSING[1:] = True
MISSING[2, 1] = False
IMAGE = np.full(gaussians.SHAPE, 0.5, np.float32)
IMAGE[0, :, 0] = [0.55, 0.42, 0.6, 0.47]
IMAGE[2, 1] = 0.58


@pytest.fixture
def many(monkeypatch):
    """All chains of an image side by side, which is faster."""
    monkeypatch.setattr(inpainting, "CHAINS", DRAWS)


@pytest.fixture
def linear(tmp_path, monkeypatch):
    """Writes and opens a linear Gaussian model whose pixels stay within [0, 1], and whose mean is that of p(x|z).

    A poor encoder has posteriors that are shifted, and 1.5 times too wide besides.
    """
    monkeypatch.setattr(gaussians, "SCALE", 0.03)
    monkeypatch.setattr(gaussians, "WEIGHTS", 0.1 * gaussians.WEIGHTS)
    monkeypatch.setattr(gaussians, "OFFSETS", 0.5 + 0.1 * (gaussians.OFFSETS - 0.5))
    own_decoder, own_posterior = gaussians.decoder, gaussians.posterior

    def decoder(kind):
        g = own_decoder(kind)
        loc = g.nodes[-1].input[0]
        g.nodes[-1] = helper.make_node("Clip", [loc, g.constant(0.0), g.constant(1.0)], ["mean"])
        return g

    def poor_posterior(kind, label=0):
        gain, shift, covariance = own_posterior(kind, label)
        return gain, shift + 0.7 * np.sqrt(np.diag(covariance)), 2.25 * covariance

    def opened(kind, poor=False):
        monkeypatch.setattr(gaussians, "decoder", decoder)
        monkeypatch.setattr(gaussians, "posterior", poor_posterior if poor else own_posterior)
        return Bundle.open(gaussians.write(tmp_path / "linear", kind), device="cpu", threads=1)

    return opened


def conditional(kind, label=0):
    """The mean and the covariance of the missing pixels given the seen ones, in closed form."""
    missing, seen = np.flatnonzero(MISSING), np.flatnonzero(~MISSING)
    x = IMAGE.ravel()[seen].astype(np.float64)
    logs, means, covariances = [], [], []
    for weight, mean, spread in gaussians.components(kind, label):
        center = gaussians.WEIGHTS @ mean + gaussians.offset(kind, label)
        whole = gaussians.WEIGHTS @ spread @ gaussians.WEIGHTS.T + gaussians.SCALE**2 * np.eye(12)
        gain = whole[np.ix_(missing, seen)] @ np.linalg.inv(whole[np.ix_(seen, seen)])
        logs.append(np.log(weight) + gaussians.log_normal(x, center[seen], whole[np.ix_(seen, seen)]))
        means.append(center[missing] + gain @ (x - center[seen]))
        covariances.append(whole[np.ix_(missing, missing)] - gain @ whole[np.ix_(seen, missing)])
    weights = np.exp(np.array(logs) - np.logaddexp.reduce(logs))
    mean = weights @ np.array(means)
    inner = zip(weights, means, covariances, strict=True)
    return mean, sum(w * (c + np.outer(m - mean, m - mean)) for w, m, c in inner)


def holed(image=IMAGE, missing=MISSING):
    return np.where(missing, np.nan, image)[None].astype(np.float32)


def errors(found, kind, label=0):
    """How far draws are from the closed form: of the mean and of the covariance, in standard errors, the worst."""
    mean, covariance = conditional(kind, label)
    rows = found.draws[0][:, MISSING].astype(np.float64)
    variance = np.diag(covariance)
    of_mean = np.abs(rows.mean(axis=0) - mean) / np.sqrt(variance / len(rows))
    deviation = np.sqrt((np.outer(variance, variance) + covariance**2) / len(rows))
    return of_mean.max(), np.abs((np.cov(rows.T) - covariance) / deviation).max()


@pytest.mark.parametrize("kind", gaussians.KINDS)
def test_draws_have_the_conditional_mean_and_covariance(linear, many, kind):
    """For N(0, I), learned priors, labels, and posteriors in groups; the encoder's posteriors are too wide."""
    bundle, label = linear(kind), 1 if gaussians.has_labels(kind) else None
    found = bundle.inpaint(holed(), n=DRAWS, steps=4, burn_in=40, label=label)
    assert max(errors(found, kind, label or 0)) < ERRORS
    assert 0.2 < found.acceptance[0] < 1


@pytest.mark.parametrize("walks", [0, inpainting.WALKS])
@pytest.mark.parametrize("kind", ["affine", "ladder"])
def test_a_poor_encoder_does_not_matter(linear, many, monkeypatch, kind, walks):
    """The Metropolis step corrects an encoder that is shifted and too wide, with the walk and without it."""
    monkeypatch.setattr(inpainting, "WALKS", walks)
    found = linear(kind, poor=True).inpaint(holed(), n=DRAWS, steps=4, burn_in=50)
    assert max(errors(found, kind)) < ERRORS


@pytest.mark.parametrize("kind", ["affine", "ladder"])
def test_pseudo_gibbs_is_wrong_with_the_same_encoder(linear, many, monkeypatch, kind):
    """So the test above would see a step that corrects nothing."""
    monkeypatch.setattr(inpainting, "WALKS", 0)
    monkeypatch.setattr(inpainting._Chains, "_accepted", lambda chains, log_ratio: np.ones(len(log_ratio), bool))
    found = linear(kind, poor=True).inpaint(holed(), n=DRAWS, steps=4, burn_in=50)
    assert found.acceptance[0] == 1
    assert max(errors(found, kind)) > 2 * ERRORS


def test_the_mean_is_the_conditional_mean(linear, monkeypatch):
    """The chains are independent, so that its effective sample size is at least their number."""
    monkeypatch.setattr(inpainting, "CHAINS", 64)
    mean, covariance = conditional("affine")
    found = linear("affine").inpaint(holed(), n=64, steps=80, burn_in=40)
    error = np.abs(found.mean[0][MISSING] - mean) / np.sqrt(np.diag(covariance) / 64)
    assert error.max() < ERRORS
    assert found.r_hat[0] < 1.1


def test_nothing_seen_is_a_draw_from_the_prior(linear, many):
    bundle = linear("mixture")
    found = bundle.inpaint(np.full((1, *gaussians.SHAPE), np.nan), n=DRAWS, steps=4, burn_in=40)
    rows = found.draws[0].reshape(DRAWS, 12).astype(np.float64)
    weights, means, spreads = zip(*gaussians.components("mixture"), strict=True)
    mean = gaussians.WEIGHTS @ (np.array(weights) @ np.array(means)) + gaussians.offset("mixture")
    assert (np.abs(rows.mean(axis=0) - mean) < ERRORS * rows.std(axis=0) / np.sqrt(DRAWS)).all()


@pytest.mark.parametrize("kind", ["affine", "ladder", "ladder labels"])
def test_the_density_of_a_draw_is_found_from_its_code(linear, kind):
    """Of a ladder too, whose encoder takes the noise of the draw."""
    bundle, label = linear(kind), np.array([0, 1]) if gaussians.has_labels(kind) else None
    pixels = np.stack([IMAGE, 1 - IMAGE])
    epsilon = noise.standard_normal(0, 0, 2, 3)[:, None]
    posterior = proposals.gaussian_at(bundle, pixels, np.zeros((2, 3), np.float32), label)
    drawn = proposals.draw(bundle, pixels, posterior, epsilon, label)
    found = proposals.gaussian_at(bundle, pixels, drawn.z[:, 0], label)
    np.testing.assert_allclose(found.loc, drawn.loc.reshape(2, 3), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.scale, drawn.scale.reshape(2, 3), rtol=1e-5)


def test_seen_pixels_come_back_as_they_were(linear):
    found = linear("affine").inpaint(holed(), n=3, steps=4, burn_in=4)
    assert (found.draws[0][:, ~MISSING] == IMAGE[~MISSING]).all()
    assert (found.mean[0][~MISSING] == IMAGE[~MISSING]).all()
    assert np.isfinite(found.draws).all() and np.isfinite(found.mean).all()
    assert np.ptp(found.draws[0][:, MISSING], axis=0).min() > 0


def test_a_whole_image_stays_as_it_is(linear):
    found = linear("affine").inpaint(IMAGE[None], n=3)
    assert (found.draws == IMAGE).all() and (found.mean == IMAGE).all()
    assert np.isnan(found.acceptance).all() and np.isnan(found.r_hat).all()


def test_draws_depend_on_the_seed_and_the_image_s_number_alone(linear):
    """To the last bit: not on the other images, on threads, or on how many draws there are."""
    bundle = linear("labels")
    images = np.concatenate([holed(), holed(1 - IMAGE), holed(IMAGE, ~MISSING)])
    short = {"steps": 4, "burn_in": 12, "label": 0}
    whole = bundle.inpaint(images, n=3, seed=7, **short)
    alone = bundle.inpaint(images[2:], n=CHAINS + 1, seed=7, start=2, **short)
    assert (alone.draws[0, :3] == whole.draws[2]).all()
    settings = Settings(3, 4, 12, 7)
    serial = inpainting.joined(list(inpainting.inpaint(bundle, images, settings, np.zeros(3, np.int64), threads=1)))
    assert all((one == other).all() for one, other in zip(serial, whole, strict=True))
    assert (bundle.inpaint(images, n=3, seed=8, **short).draws != whole.draws).any()
    again = bundle.inpaint(np.concatenate([images[2:], images[2:]]), n=1, seed=7, **short)
    assert (again.draws[0] != again.draws[1]).any()  # the same image under two numbers


def test_labels_change_what_is_drawn(linear):
    bundle = linear("labels")
    means = [bundle.inpaint(holed(), n=1, steps=60, burn_in=20, label=name).mean[0] for name in gaussians.LABELS]
    expected = [conditional("labels", label)[0] for label in (0, 1)]
    assert np.corrcoef((means[0] - means[1])[MISSING], expected[0] - expected[1])[0, 1] > 0.9


def test_bits_are_drawn_as_bits_and_grey_surrogates_as_expected_pixels(bundle_path, monkeypatch):
    bundle = Bundle.open(bundle_path, device="cpu")
    assert bundle.manifest.likelihood == "bernoulli" and bundle.manifest.binarize == "none"
    images = random_images(1).round()
    images[0, 4:] = np.nan
    grey = bundle.inpaint(images, n=2, steps=4, burn_in=4).draws[0, :, 4:]
    assert ((grey > 0) & (grey < 1)).all()
    monkeypatch.setattr(inpainting.caveats, "kind", lambda *names: "log-probability")
    assert set(np.unique(bundle.inpaint(images, n=2, steps=4, burn_in=4).draws[0, :, 4:])) <= {0.0, 1.0}


@pytest.mark.parametrize(
    ("settings", "fact"),
    [
        ({"n": 0}, "n must be"), ({"n": True}, "n must be"), ({"steps": 3}, "steps must be"),
        ({"burn_in": -1}, "burn_in must be"), ({"burn_in": 1.5}, "burn_in must be"), ({"seed": -1}, "seed must be"),
        ({"label": 0}, "has no labels"), ({"start": -1}, "start must be"),
        ({"start": 2**40}, "start must be at most 2\\^32 - 1 .*; got 1,099,511,627,776"),
        ({"start": np.int64(2**32)}, "start must be at most 2\\^32 - 1 .*; got 4,294,967,296"),
    ],
)  # fmt: skip
def test_settings_out_of_range_are_refused(linear, settings, fact):
    with pytest.raises(KvaeError, match=fact):
        linear("affine").inpaint(holed(), **settings)


def test_pixels_out_of_range_are_refused(linear):
    bundle = linear("affine")
    for images in (2 * holed(), np.where(MISSING, np.inf, IMAGE)[None]):
        with pytest.raises(KvaeError, match="in \\[0, 1\\]"):
            bundle.inpaint(images)


def test_a_lone_decoder_and_an_unknown_likelihood_are_refused(bundle_path, linear, monkeypatch):
    images = np.full((1, 8, 8, 1), np.nan)
    with pytest.raises(BundleError, match="no graph 'encoder'"):
        Bundle.open(bundle_path / "decoder.onnx").inpaint(images)
    bundle = linear("affine")
    monkeypatch.setattr(bundle.manifest.__class__, "likelihood", "strange", raising=False)
    object.__setattr__(bundle.manifest, "likelihood", "strange")
    with pytest.raises(BundleError, match="strange"):
        bundle.inpaint(holed())


def test_chains_that_run_end_when_they_are_told_to(linear):
    """As for Ctrl-C, which must not wait for millions of sweeps."""
    stopped = threading.Event()
    stopped.set()
    with pytest.raises(KeyboardInterrupt):
        inpainting._complete(linear("affine"), holed()[0], Settings(steps=10**7), 0, None, stopped)
