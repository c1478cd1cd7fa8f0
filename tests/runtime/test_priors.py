"""The priors of bundles: draws and densities of the graphs against closed forms in numpy."""

import numpy as np
import pytest
from gaussian_family import KINDS, LABEL_PROBS, MEANS, PROBS, SCALES, components, log_normal, write

from kvae.bundle import noise
from kvae.runtime import Bundle, priors

COUNT = 40_000


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundles")
    return {kind: Bundle.open(write(folder / kind, kind), device="cpu") for kind in KINDS}


def labels_of(bundle, count, label=1):
    return None if bundle.labels is None else np.full(count, label)


@pytest.mark.parametrize("kind", KINDS)
def test_draws_have_the_mean_and_the_covariance_of_the_prior(bundles, kind):
    """Within 5 standard errors, of 40,000 draws; those of the covariance are estimated from the draws."""
    z = bundles[kind].prior.draws(3, 0, COUNT, label=labels_of(bundles[kind], COUNT)).astype(np.float64)
    parts = components(kind, 1)
    mean = sum(p * m for p, m, _ in parts)
    covariance = sum(p * (c + np.outer(m - mean, m - mean)) for p, m, c in parts)
    np.testing.assert_array_less(np.abs(z.mean(axis=0) - mean), 5 * np.sqrt(np.diag(covariance) / COUNT))
    products = (z - mean)[:, :, None] * (z - mean)[:, None, :]
    error = products.std(axis=0) / np.sqrt(COUNT)
    np.testing.assert_array_less(np.abs(products.mean(axis=0) - covariance), 5 * error)


@pytest.mark.parametrize("kind", KINDS)
def test_the_density_is_that_of_the_draws(bundles, kind):
    """log p(z|y) in closed form within 1e-4, at draws and far from them."""
    bundle = bundles[kind]
    z = np.concatenate([bundle.prior.draws(0, 0, 500, label=labels_of(bundle, 500)), 4 * np.eye(3, dtype=np.float32)])
    expected = np.logaddexp.reduce([np.log(p) + log_normal(z, m, c) for p, m, c in components(kind, 1)], axis=0)
    found = bundle.prior.log_prob(z, labels_of(bundle, len(z)))
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-4)


def test_components_are_as_frequent_as_their_weights():
    """Within 4 standard errors of a share, for 40,000 draws; the same as a draw's nearest mean says in a narrow one."""
    chosen = noise.choices(7, 0, COUNT, noise.cumulative(PROBS), noise.COMPONENTS)
    found = np.bincount(chosen, minlength=3) / COUNT
    np.testing.assert_array_less(np.abs(found - PROBS), 4 * np.sqrt(PROBS * (1 - PROBS) / COUNT))


def test_a_draw_of_a_mixture_is_its_component_s(bundles):
    z = bundles["mixture"].prior.draws(7, 100, 50)
    chosen = noise.choices(7, 100, 50, noise.cumulative(PROBS), noise.COMPONENTS)
    expected = MEANS[chosen] + SCALES[chosen] * noise.standard_normal(7, 100, 50, 3)
    np.testing.assert_allclose(z, expected, atol=1e-6)
    assert len(set(chosen.tolist())) == 3


@pytest.mark.parametrize("kind", KINDS)
def test_a_draw_depends_on_the_seed_and_its_number_alone(bundles, kind):
    prior, label = bundles[kind].prior, labels_of(bundles[kind], 700)
    many = prior.draws(3, 0, 700, 0.7, label)
    part = prior.draws(3, 600, 30, 0.7, None if label is None else label[:30])
    np.testing.assert_allclose(part, many[600:630], atol=1e-6)
    assert not np.any(prior.draws(4, 0, 700, 0.7, label) == many)


def test_the_temperature_is_a_factor_on_the_noise(bundles):
    cold = bundles["mixture"].prior.draws(0, 0, 20, 0.0)
    chosen = noise.choices(0, 0, 20, noise.cumulative(PROBS), noise.COMPONENTS)
    np.testing.assert_allclose(cold, MEANS[chosen], atol=1e-6)
    each = np.float32([0.0, 1.0, 2.0])
    z, plain = (bundles["ladder"].prior.draws(0, 0, 20, factor) for factor in (each, 1.0))
    np.testing.assert_array_equal(z, each * plain)


@pytest.mark.parametrize("kind", KINDS)
def test_mean_and_scale_are_the_prior_s(bundles, kind):
    """Exact for N(0, I); else measured, within 5 standard errors of `MEASURED` draws."""
    bundle = bundles[kind]
    parts = components(kind, 1)
    mean = sum(p * m for p, m, _ in parts)
    variance = np.diag(sum(p * (c + np.outer(m - mean, m - mean)) for p, m, c in parts))
    label = None if bundle.labels is None else 1
    found = bundle.prior.mean(label), bundle.prior.scale(label)
    if bundle.prior.has_closed_rate:
        np.testing.assert_array_equal(found, (np.zeros(3), np.ones(3)))
    np.testing.assert_array_less(np.abs(found[0] - mean), 5 * np.sqrt(variance / priors.MEASURED) + 1e-9)
    np.testing.assert_allclose(found[1], np.sqrt(variance), rtol=0.08)
    assert found[0].dtype == found[1].dtype == np.float32


def test_without_a_label_the_moments_are_those_over_all_labels(bundles):
    mean = LABEL_PROBS @ MEANS[:2]
    variance = LABEL_PROBS @ (SCALES[:2] ** 2 + (MEANS[:2] - mean) ** 2)
    prior = bundles["label prior"].prior
    np.testing.assert_array_less(np.abs(prior.mean() - mean), 5 * np.sqrt(variance / priors.MEASURED))
    np.testing.assert_allclose(prior.scale(), np.sqrt(variance), rtol=0.1)
