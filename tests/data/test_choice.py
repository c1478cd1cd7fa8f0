"""The likelihood and the architecture that follow from the user's own images."""

import logging

import numpy as np
import pytest
from PIL import Image

from kvae.config import ModelConfig, TrainConfig
from kvae.data import datasets, settle
from kvae.data.inspection import inspect
from kvae.errors import DataError

RNG = np.random.default_rng(0)
BITS = RNG.random((120, 8, 8)) < 0.5
GREY = RNG.integers(0, 256, (120, 8, 8), np.uint8)
COLOUR = RNG.integers(0, 256, (120, 8, 8, 3), np.uint8)


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("KVAE_CACHE_DIR", str(tmp_path / "cache"))


def settled(tmp_path, array, **settings):
    np.save(tmp_path / "x.npy", array)
    names = ModelConfig.__dataclass_fields__
    model = ModelConfig(**{key: settings.pop(key) for key in list(settings) if key in names})
    config = TrainConfig(data=str(tmp_path / "x.npy"), model=model, **settings)
    return settle(config, datasets.of(config))


@pytest.mark.parametrize(
    ("array", "likelihood", "binarize"),
    [
        (BITS, "bernoulli", "dynamic"),
        (BITS * np.uint8(255), "bernoulli", "dynamic"),
        (BITS.astype(np.float32), "bernoulli", "dynamic"),
        (np.stack(3 * [BITS], axis=-1), "bernoulli", "dynamic"),
        (GREY, "discretized_logistic", "none"),
        (COLOUR, "discretized_logistic", "none"),
        (GREY / 255, "discretized_logistic", "none"),
        (np.where(BITS, 255, 254).astype(np.uint8), "discretized_logistic", "none"),
        (RNG.random((120, 5)), "discretized_logistic", "none"),
        (RNG.random((120, 9)) < 0.5, "bernoulli", "dynamic"),
    ],
)
def test_the_likelihood_follows_from_the_pixels(tmp_path, array, likelihood, binarize):
    found = settled(tmp_path, array)
    assert (found.model.likelihood, found.binarize) == (likelihood, binarize)
    assert inspect(TrainConfig(data=str(tmp_path / "x.npy"))).likelihood.likelihood == likelihood
    assert TrainConfig.from_dict(found.to_dict()) == found


def test_one_grey_pixel_makes_them_levels(tmp_path):
    pixels = BITS * np.uint8(255)
    pixels[119, 7, 7] = 128
    assert settled(tmp_path, pixels).model.likelihood == "discretized_logistic"


def test_what_is_given_stays(tmp_path):
    assert settled(tmp_path, COLOUR, likelihood="normal").model.likelihood == "normal"
    found = settled(tmp_path, GREY, likelihood="bernoulli", binarize="none")
    assert (found.model.likelihood, found.binarize) == ("bernoulli", "none")
    found = settled(tmp_path, GREY, binarize="dynamic")  # only a model of bits can be binarised
    assert (found.model.likelihood, found.binarize) == ("bernoulli", "dynamic")
    found = settled(tmp_path, GREY, binarize="none")
    assert (found.model.likelihood, found.binarize) == ("discretized_logistic", "none")


def test_named_data_sets_keep_the_benchmark(tmp_path):
    config = TrainConfig(dataset="fashion_mnist_mini")
    assert (config.model.likelihood, config.binarize) == ("bernoulli", "dynamic")
    assert settle(config, datasets.of(config)) is config


@pytest.mark.parametrize(
    ("array", "likelihood", "fact"),
    [
        (COLOUR, "bernoulli", "bernoulli is for bits, and draws each of colour"),
        (RNG.random((120, 5)), "bernoulli", "a table's values"),
        (BITS, "normal", "black or white; normal is for levels, and bernoulli for bits"),
        (GREY, "bernoulli", None),
        (GREY, "normal", None),
        (COLOUR, "discretized_logistic", None),
        (COLOUR, "continuous_bernoulli", None),
        (BITS, "bernoulli", None),
    ],
)
def test_a_likelihood_that_does_not_suit_the_images_is_said_in_one_line(tmp_path, caplog, array, likelihood, fact):
    with caplog.at_level(logging.WARNING, "kvae"):
        settled(tmp_path, array, likelihood=likelihood)
    told = [record.getMessage() for record in caplog.records]
    assert [fact in line and "\n" not in line for line in told] == ([] if fact is None else [True])


def test_the_choice_is_said_in_one_line(tmp_path, caplog):
    with caplog.at_level(logging.INFO, "kvae"):
        settled(tmp_path, COLOUR)
        settled(tmp_path, GREY / 255)
    told = [record.getMessage() for record in caplog.records if "likelihood" in record.getMessage()]
    assert len(told) == 2
    assert "discretized_logistic" in told[0] and "8-bit colour" in told[0] and "--likelihood" in told[0]
    assert "floats are rounded" in told[1]


@pytest.mark.parametrize("given", [None, 128, 40])
def test_a_table_gets_dense_networks_of_their_own_width_or_the_one_given(tmp_path, given):
    """128, the default of conv, is kept if it was given."""
    found = settled(tmp_path, RNG.random((120, 5)), **({} if given is None else {"hidden_units": given}))
    assert (found.model.architecture, found.model.hidden_units) == ("mlp", given or 512)
    assert settled(tmp_path, RNG.random((120, 5)), architecture="gated_mlp").model.architecture == "gated_mlp"
    assert settled(tmp_path, GREY).model.architecture == "conv"


def test_a_table_is_not_resized(tmp_path):
    with pytest.raises(DataError, match="rows of a table cannot be resized"):
        settled(tmp_path, RNG.random((120, 5)), image_size="8")


def test_bits_stored_as_levels_0_and_1_are_refused(tmp_path):
    """They would be read as black, and a model of black learned."""
    with pytest.raises(DataError, match=r"all levels are 0 or 1 of 255, .*x > 0.*x \* 255"):
        settled(tmp_path, BITS.astype(np.uint8))
    (tmp_path / "masks").mkdir()
    for index, mask in enumerate(BITS):
        Image.fromarray(mask.astype(np.uint8)).save(tmp_path / "masks" / f"{index}.png")
    config = TrainConfig(data=str(tmp_path / "masks"))
    assert "0 or 1 of 255" in inspect(config).refusal
    with pytest.raises(DataError, match="0 or 1 of 255"):
        datasets.of(config)


@pytest.mark.parametrize(
    ("array", "line"),
    [
        (GREY.astype(np.float32), "floats from 0 to 255, outside .*: use x / 255"),
        (GREY / 127.5 - 1, r"floats from -1 to 1, outside .*: use \(x \+ 1\) / 2"),
        (RNG.normal(size=(120, 5)), r"outside \[0, 1\].* for each column, \(x - x.min\(0\)\)"),
    ],
)
def test_floats_outside_the_range_are_refused_as_a_whole_with_the_repair(tmp_path, array, line):
    """Not image by image, which would leave a few black ones."""
    with pytest.raises(DataError, match=line):
        settled(tmp_path, array)


def test_an_image_with_nan_is_skipped_by_itself(tmp_path):
    array = GREY / 255
    array[3, 0, 0], array[4, 1, 1] = np.nan, np.inf
    found = inspect(TrainConfig(data=str(tmp_path / "x.npy"))) if settled(tmp_path, array) else None
    assert [name for name, _ in found.skipped] == ["x.npy[3]", "x.npy[4]"]
    with pytest.raises(DataError, match="2 of 120 images cannot be used, but --max-bad is 1"):
        settled(tmp_path, array, max_bad=1)


@pytest.mark.parametrize("dtype", ["<f2", ">f4", "<f8", ">f8"])
def test_floats_of_any_size_and_byte_order_are_read(tmp_path, dtype):
    np.save(tmp_path / "x.npy", (GREY / 255).astype(dtype))
    data = datasets.of(TrainConfig(data=str(tmp_path / "x.npy")))
    sums = sorted(int(image.sum()) for split in (data.train, data.validation, data.test) for image in split.images)
    assert sums == sorted(int(image.sum()) for image in GREY)
