"""The verdict of a comparison: who is better, by how much, what the losses say, and when it is too early."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from kvae.comparison.measuring import Result
from kvae.comparison.settings import Setting
from kvae.comparison.verdict import groups, verdict
from kvae.config import from_settings
from kvae.evaluation.estimates import Estimate
from kvae.evaluation.result import Evaluation

N = 400
EASY = np.random.default_rng(1).normal(240, 40, N)  # how hard each image is, for every model
REST = [300.0, 250.0, 241.0, 240.2, 240.1, 240.0, 240.0, 240.0, 240.0]
FALLING = [300.0, 280.0, 265.0, 255.0]


def result(name, nll, *, loss=None, noise=1.0, ess=50.0, losses=REST, seed=0, images="same", samples=100, **settings):
    """A result whose NLL is `nll` above 240 on average, with independent noise per image."""
    config = from_settings({"dataset": "fashion_mnist_mini"} | settings)
    random = np.random.default_rng(seed).normal(0, noise, N)
    values = EASY - EASY.mean() + 240 + nll + random - random.mean()
    manifest = SimpleNamespace(
        likelihood=config.model.likelihood, binarize=config.binarize, image_shape=[28, 28, 1],
        dataset={"name": config.dataset, "sha256": "0"}, latent_dim=2, labels=None, groups=None,
        training={"beta": config.beta, "entropy_weight": config.entropy_weight},
    )  # fmt: skip
    per_image = {"nll": values, "elbo": -values - 3, "rate": np.full(N, 20.0), "effective_sample_size": np.full(N, ess)}
    evaluation = Evaluation(
        manifest=manifest, images_sha256=images, importance_samples=samples, proposal="adaptive", seed=0,
        per_image=per_image, loc=np.random.default_rng(0).normal(size=(N, 2)), scale=np.full((N, 2), 0.3),
    )  # fmt: skip
    history = {"val_loss": losses, "val_elbo": [-value for value in losses]}
    return Result(
        setting=Setting({}, config, name), run=None, evaluation=evaluation, history=history,
        loss=Estimate(240 + nll + 3 if loss is None else loss, 1.0), sample_quality={}, fitted_quality={},
    )  # fmt: skip


def kl(**changes):
    return result("KL", 0.0, **changes)


def cross_entropy(nll=14.0, **changes):
    return result("cross-entropy", nll, **({"loss": 227.5, "entropy_weight": 0.0, "seed": 1} | changes))


def test_two_sentences_say_who_is_better_and_what_the_lower_loss_is_worth():
    found = verdict([cross_entropy(), kl()])
    error = float(np.std(cross_entropy().evaluation.per_image["nll"] - kl().evaluation.per_image["nll"], ddof=1)) / 20
    assert found == (
        f"KL has the better NLL, 240.00 nats per image: 14.00 ± {error:.2f} below that of cross-entropy, paired image "
        f"by image. Its loss is a bound on it; the lowest loss, 227.50 of cross-entropy, is not a bound on the NLL and "
        f"promises nothing: the NLL there is 14.00 ± {error:.2f} nats higher."
    )


def test_a_better_cross_entropy_is_said_too_with_its_loss_that_is_no_bound():
    found = verdict([kl(), cross_entropy(-5.0)])
    assert found.startswith("cross-entropy has the better NLL, 235.00 nats per image: 5.00 ± ")
    assert "below that of KL" in found and "Its loss is not a bound: the loss weights the posterior's entropy" in found


def test_a_looser_bound_is_a_bound():
    assert "Its loss is a bound on it" in verdict([kl(), result("beta 4", -5.0, beta=4.0, seed=1)])
    assert "Its loss is not a bound" in verdict([kl(), result("beta 0.5", -5.0, beta=0.5, seed=1)])


@pytest.mark.parametrize(("nll", "seen"), [(0.05, False), (-0.05, False), (0.3, True)])
def test_within_two_standard_errors_there_is_no_difference(nll, seen):
    found = verdict([kl(), cross_entropy(nll)])  # the standard error is about 0.07
    assert ("do not differ measurably" in found) is not seen
    assert ("has the better NLL" in found) is seen


def test_a_training_that_still_fell_makes_it_too_early():
    found = verdict([kl(losses=FALLING), cross_entropy(-8.0)])
    assert found.startswith("Still falling: too early to compare") and "KL" in found and "better" not in found
    assert "25.00 nats" in found and "--epochs" in found
    assert verdict([kl(losses=[300.0, 290.0]), cross_entropy()]).startswith(
        "Too early to compare: KL trained for fewer"
    )


def test_upper_bounds_are_not_ranked():
    """Neither if all are bounds, nor if the lowest is one; a bound above the best is left out."""
    for results in ([kl(ess=2.0), cross_entropy(ess=2.0)], [kl(ess=2.0), cross_entropy(), result("x", 9.0, seed=2)]):
        found = verdict(results)
        assert "cannot be ranked: 100 importance samples are too few for KL" in found and "better" not in found
        assert "227.50 of cross-entropy, is not a bound on the NLL and promises nothing." in found
    found = verdict([kl(), cross_entropy(ess=2.0), result("x", 9.0, seed=2)])
    assert "KL has the better NLL" in found and "below that of x" in found
    assert "the NLL there is only an upper bound" in found and "Left out: cross-entropy" in found


def test_only_numbers_on_one_scale_are_compared():
    """Other images, another kind of number; each group has a verdict of its own."""
    grey = {"binarize": "none", "images": "grey"}
    results = [kl(), cross_entropy(), kl(**grey), result("grey", 3.0, seed=3, **grey), kl(images="other")]
    assert [len(group) for group in groups(results)] == [2, 2, 1]
    found = verdict(results)
    assert found.count("has the better NLL") == 2
    assert "below that of cross-entropy" in found and "below that of grey" in found
    assert "Not all settings can be compared" in found and "surrogate" in found


def test_numbers_by_different_samples_are_not_subtracted():
    found = verdict([kl(samples=500), cross_entropy()])
    assert "cannot be subtracted" in found and "better" not in found
    assert replace(kl()).not_compared is None
