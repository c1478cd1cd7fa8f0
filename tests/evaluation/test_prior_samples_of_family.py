"""The quality of samples of every kind of model: labels, priors with graphs of their own, ladders."""

import numpy as np
import pytest
from gaussian_family import KINDS, LABELS, has_labels, images, write

from kvae.data import Dataset, Split
from kvae.evaluation import extractors, prior_samples, sample_quality
from kvae.runtime import Bundle


def data_of(kind):
    """The model's own images, in a data set that kvae has no classifier of."""

    def split(seed):
        pixels, labels = images(kind, 120, seed)
        return Split(pixels, labels if has_labels(kind) else None)

    train, validation, test = map(split, range(3))
    return Dataset("own", train, validation, test, tuple(LABELS) if has_labels(kind) else (), None, "0" * 64)


@pytest.mark.parametrize("kind", KINDS)
def test_samples_are_those_that_the_bundle_draws(kind, tmp_path):
    """On the codes of the model's own encoder, which is given each sample's label."""
    bundle, data = Bundle.open(write(tmp_path / "bundle", kind), device="cpu"), data_of(kind)
    found = sample_quality(bundle, data, 150, seed=5)
    labels = bundle.sample_labels(150, 5)
    assert (labels is None) == (not has_labels(kind))
    codes = bundle.encode(bundle.sample(150, 5), labels).loc.astype(np.float64)
    real = bundle.encode(data.test.images / np.float32(255), data.test.labels).loc.astype(np.float64)
    expected = prior_samples.between(codes, real)["frechet_distance"].value
    assert found.metrics["frechet_distance"].value == pytest.approx(expected, rel=1e-4)
    assert found.kind == extractors.choose(bundle, data).kind == "code"
