"""AUROC, AUPR and false alarms at 95 % detection against scikit-learn, and their errors against many data sets."""

import numpy as np
import pytest
from sklearn import metrics as sklearn

from kvae.detection import metrics
from kvae.errors import KvaeError


def data(seed, num_normal=80, num_odd=50, ties=False):
    rng = np.random.default_rng(seed)
    is_odd = rng.permutation(np.arange(num_normal + num_odd) < num_odd)
    scores = rng.normal(size=len(is_odd)) + 1.2 * is_odd
    return np.round(scores * 2) / 2 if ties else scores, is_odd


def by_sklearn(scores, is_odd):
    fpr, tpr, _ = sklearn.roc_curve(is_odd, scores, drop_intermediate=False)
    return (
        sklearn.roc_auc_score(is_odd, scores),
        sklearn.average_precision_score(is_odd, scores),
        fpr[np.argmax(tpr >= 0.95)],
    )


def values(found):
    return [getattr(found, name).value for name in metrics.NAMES]


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_the_numbers_are_scikit_learn_s(ties, seed):
    scores, is_odd = data(seed, ties=ties)
    found = metrics.measure(scores, is_odd, samples=2)
    np.testing.assert_allclose(values(found), by_sklearn(scores, is_odd), rtol=1e-12)
    assert (found.num_normal, found.num_odd) == (80, 50)


def test_weights_are_repetitions():
    """A bootstrap sample written out, image by image, has the numbers of the weights."""
    scores, is_odd = data(7, ties=True)
    order = np.argsort(scores)[::-1]
    scores, is_odd = scores[order], is_odd[order]
    weights = np.random.default_rng(1).integers(0, 4, len(scores))
    ends = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)
    found = metrics._values(weights * ~is_odd, weights * is_odd, ends)
    np.testing.assert_allclose(found, by_sklearn(np.repeat(scores, weights), np.repeat(is_odd, weights)), rtol=1e-12)


def test_perfect_chance_and_reversed_scores():
    is_odd = np.arange(10) >= 6
    assert values(metrics.measure(is_odd * 1.0, is_odd, samples=2)) == [1.0, 1.0, 0.0]
    assert values(metrics.measure(np.zeros(10), is_odd, samples=2)) == [0.5, 0.4, 1.0]
    reversed_ones = values(metrics.measure(-np.arange(10.0), is_odd, samples=2))
    assert reversed_ones[0] == 0.0 and reversed_ones[2] == 1.0


def test_the_errors_are_those_over_many_data_sets():
    found = np.array([values(metrics.measure(*data(seed), samples=2)) for seed in range(1000, 1600)])
    one = [metrics.measure(*data(seed), samples=300) for seed in range(20)]
    for index, name in enumerate(metrics.NAMES):
        error = np.mean([getattr(each, name).standard_error for each in one])
        assert 0.75 < error / found[:, index].std() < 1.25, name


def test_the_seed_decides_the_errors():
    scores, is_odd = data(0)
    first, again, other = (metrics.measure(scores, is_odd, seed, 20) for seed in (1, 1, 2))
    assert first == again and first != other and values(first) == values(other)


def test_what_cannot_be_measured_is_refused():
    with pytest.raises(KvaeError, match="image 1 is NaN"):
        metrics.measure(np.array([0.0, np.nan]), np.array([True, False]))
    for is_odd, what in ((np.ones(3, bool), "odd"), (np.zeros(3, bool), "normal")):
        with pytest.raises(KvaeError, match=f"all 3 images are labelled {what}"):
            metrics.measure(np.zeros(3), is_odd)


def test_as_text():
    text = metrics.measure(*data(0), samples=20).as_text()
    assert text.splitlines()[0] == "50 odd and 80 normal images"
    assert all(name in text for name in metrics.NAMES.values()) and text.count("±") == 3
