"""Joined requests have the answers that they would have alone, and one that is at fault is refused alone."""

import numpy as np
import pytest
from tiny import random_images

from kvae.errors import KvaeError
from kvae.runtime import Bundle
from kvae.serving.work import Given, Sampling, Work


@pytest.fixture(scope="module")
def bundle(bundle_path):
    return Bundle.open(bundle_path)


@pytest.fixture(scope="module")
def labelled(member_path):
    return Bundle.open(member_path("labelled"))


def test_joined_requests_have_their_own_answers(bundle):
    images = (random_images(6) > 0.5).astype(np.float32)
    parts = [images[:1], images[1:4], images[4:]]
    for kind in ("encode", "reconstruct", "score"):
        together = Work(bundle)(kind, [Given(part, None) for part in parts])
        for part, answer in zip(parts, together, strict=True):
            (alone,) = Work(bundle)(kind, [Given(part, None)])
            for one, other in zip(answer, alone, strict=True):
                np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


def test_samples_and_codes_are_decoded_together(bundle):
    z = np.ones((2, 3), np.float32)
    first, codes, second = Work(bundle)(
        "decode", [Sampling(2, 5, 0, 1.0, None), Given(z, None), Sampling(1, 5, 1, 1.0, None)]
    )
    np.testing.assert_allclose(first[0], bundle.sample(2, seed=5), atol=1e-6)
    np.testing.assert_allclose(codes[0], bundle.decode(z), atol=1e-6)
    np.testing.assert_allclose(second[0], first[0][1:], atol=1e-6)


def test_labels_stay_with_their_images(labelled):
    shape = tuple(labelled.manifest.image_shape)
    images = (np.random.default_rng(0).random((3, *shape)) > 0.5).astype(np.float32)
    one, bad, best, other = Work(labelled)(
        "encode", [Given(images[:2], "1"), Given(images[:1], "none"), Given(images[:1], "best"), Given(images[2:], "2")]
    )
    np.testing.assert_allclose(one[0], labelled.encode(images[:2], 1).loc, atol=1e-6)
    np.testing.assert_allclose(other[0], labelled.encode(images[2:], 2).loc, atol=1e-6)
    assert isinstance(bad, KvaeError) and isinstance(best, KvaeError)
    assert "best" in str(best)


@pytest.mark.parametrize("number", [np.inf, 3e38])
def test_codes_that_the_model_refuses_spare_the_others(bundle, number, monkeypatch):
    decode = bundle.decode

    def strict(z, labels):
        if np.abs(z).max() > 1e30:
            raise KvaeError("too large")
        return decode(z, labels)

    monkeypatch.setattr(bundle, "decode", strict, raising=False)
    z = np.full((1, 3), number, np.float32)
    answers = Work(bundle)("decode", [Sampling(1, 5, 0, 1.0, None), Given(z, None), Sampling(1, 6, 0, 1.0, None)])
    assert str(answers[1]) == "too large"
    for seed, answer in ((5, answers[0]), (6, answers[2])):
        np.testing.assert_allclose(answer[0], decode(bundle.prior.draws(seed, 0, 1), None), atol=1e-6)
