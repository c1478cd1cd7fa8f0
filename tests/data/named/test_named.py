"""The data sets that have a name: what each is pinned to."""

import pytest

from kvae.bundle.locate import locate
from kvae.bundle.manifest import Manifest
from kvae.data import named
from kvae.errors import ConfigError


@pytest.mark.parametrize("name", ["fashion_mnist", "mnist"])
def test_full_sets_split_50_10_10_thousand(name):
    source = named.get(name)
    assert source.files[0].shape == (60_000, 28, 28)
    assert source.files[2].shape == (10_000, 28, 28)
    assert source.num_validation == 10_000
    assert source.urls and not source.shipped


def test_the_mini_set_has_the_classes_of_the_full_one():
    mini, full = named.get("fashion_mnist_mini"), named.get("fashion_mnist")
    assert mini.class_names == full.class_names
    assert (mini.licence, mini.shipped) == (full.licence, True)


def test_fashion_mnist_is_the_data_that_the_shipped_model_was_trained_on():
    trained_on = Manifest.read(locate("fashion_mnist")).dataset
    assert trained_on["sha256"] == named.get("fashion_mnist").sha256
    assert trained_on["licence"] == named.get("fashion_mnist").licence


def test_a_module_of_the_folder_is_not_a_data_set_unless_it_is_named():
    """And the error says which is meant, and which there are."""
    with pytest.raises(ConfigError, match="dataset 'source' is unknown"):
        named.get("source")
    with pytest.raises(
        ConfigError, match="'fashion_mnits' is unknown. Did you mean fashion_mnist. Known: fashion_mnist,"
    ):
        named.get("fashion_mnits")
