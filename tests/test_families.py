"""Names that do not exist: what exists is named, and the nearest suggested, wherever a user gives a name."""

import pytest

from kvae import families, recipes
from kvae.bundle.locate import locate
from kvae.comparison import parse_vary, preset
from kvae.errors import KvaeError


def test_the_nearest_name_is_suggested_if_one_is_near():
    known = {"conv": 1, "gated_mlp": 2}
    near = "network 'gated_mpl' is unknown. Did you mean gated_mlp? Known: conv, gated_mlp."
    assert families.unknown("network", "gated_mpl", known) == near
    assert families.unknown("network", "xyz", known) == "network 'xyz' is unknown. Known: conv, gated_mlp."
    assert families.unknown("network", "xyz", []) == "network 'xyz' is unknown. Known: none."


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("bot", "Ankle boot"),
        ("BOOT", "Ankle boot"),
        ("ankel boots", "Ankle boot"),
        ("COATS", "Coat"),
        ("tshirt", "T-shirt/top"),
        ("shrit", "Shirt"),
        ("top", "T-shirt/top"),
        ("zq", None),
        ("", None),
    ],
)
def test_a_near_word_of_a_name_is_found_whatever_the_case(name, expected):
    names = ["T-shirt/top", "Trouser", "Coat", "Shirt", "Ankle boot"]
    assert families.suggestion(name, names) == (f" Did you mean {expected}?" if expected else "")


def test_a_name_is_suggested_on_one_line():
    assert families.suggestion("a b", ["a\nb\x1b"]) == " Did you mean a b??"


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda: recipes.resolve("fashion_mnist", {}), "fashion_mnist_vae"),
        (lambda: preset("why_kl", {}), "why-kl"),
        (lambda: parse_vary("learnign_rate=1"), "learning_rate"),
        (lambda: locate("fashion-mnist"), "fashion_mnist"),
        (lambda: families.member("kvae.likelihoods", "likelihood", "bernouli", ["bernoulli", "normal"]), "bernoulli"),
    ],
    ids=["recipe", "preset", "setting", "model", "member"],
)
def test_every_place_that_takes_a_name_suggests_one(call, expected):
    with pytest.raises(KvaeError, match=f"Did you mean {expected}\\?"):
        call()
