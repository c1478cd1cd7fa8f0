"""The nearest training images against a loop, and what copies look like."""

import numpy as np
import pytest

from kvae.evaluation import copying
from kvae.evaluation.jackknife import groups

RNG = np.random.default_rng(0)


def nearest(points, *batches):
    found = np.full(len(points), np.inf)
    for batch in batches:
        copying.bring_nearer(found, points, batch)
    return found


def test_the_nearest_is_found_batch_by_batch(monkeypatch):
    monkeypatch.setattr(copying, "ROWS", 7)
    points, training = RNG.normal(size=(20, 3)), RNG.normal(size=(50, 3))
    expected = [min(np.linalg.norm(point - other) for other in training) for point in points]
    np.testing.assert_allclose(nearest(points, training[:20], training[20:]), expected)


def test_copies_are_all_nearer_than_test_images_and_new_images_are_as_seldom_as_these():
    training, test, new = (RNG.normal(size=(count, 4)) for count in (300, 1000, 1000))
    copies = training[:200] + 1e-9
    of_test = nearest(test, training)
    assert copying.numbers(nearest(copies, training), of_test)["near_training"].value == 1.0
    share = copying.numbers(nearest(new, training), of_test)["near_training"].estimate()
    assert share.value == pytest.approx(copying.NEAREST, abs=4 * share.standard_error)
    assert share.standard_error > 0


def test_the_numbers_are_the_mean_and_the_share_and_each_value_lacks_one_group():
    samples, images = RNG.random(120), RNG.random(150)
    found = copying.numbers(samples, images)
    assert found["nearest_training"].value == pytest.approx(samples.mean())
    share = found["near_training"]
    assert share.value == np.mean(samples <= np.quantile(images, 0.01))
    part, other = groups(120)[3], groups(150)[3]
    assert share.without[0][3] == pytest.approx(np.mean(np.delete(samples, part) <= np.quantile(images, 0.01)))
    assert share.without[1][3] == np.mean(samples <= np.quantile(np.delete(images, other), 0.01))


def test_the_floor_is_what_test_images_have():
    images = RNG.random(150)
    found = copying.floor(images)
    assert found["nearest_training"].value == pytest.approx(images.mean())
    assert found["near_training"].estimate().value == copying.NEAREST
    assert found["near_training"].estimate().standard_error == 0.0
