"""The numbers that docs/bundle-format.md gives to implementers, checked against the code."""

import json
import re
from types import SimpleNamespace

import numpy as np
import pytest
from format_page import (
    PAGE,
    PIXELS,
    binarization_vectors,
    likelihood_vectors,
    noise_vectors,
)
from philox import philox  # in Python integers
from programs import ROOT, javascript

from kvae import likelihoods
from kvae.bundle import noise
from kvae.bundle.densities import log_density
from kvae.config import LIKELIHOODS
from kvae.runtime import latents, scoring


def test_noise_matches_the_page():
    """The words, and every digit of the noise: the page prints the shortest text of each float32."""
    assert len(noise_vectors()) == 5
    for seed, image, dim, words, numbers in noise_vectors():
        blocks = -(-dim // 4)
        assert philox(image * blocks + 1, seed) == words
        assert np.random.Philox(key=seed, counter=image * blocks).random_raw(4).tolist() == words
        found = noise.standard_normal(seed, image, 1, dim)[0]
        assert [np.format_float_positional(number) for number in found] == numbers


def test_densities_match_the_page():
    vectors = likelihood_vectors()
    assert [name for name, _, _ in vectors] == sorted(LIKELIHOODS)
    for name, parameters, value in vectors:
        found = log_density(name, parameters[None], PIXELS.reshape(1, 3, 1))
        assert found[0] == pytest.approx(value, abs=5e-6), name  # the page's parameters are decimals, ours float32


def test_the_binarisation_pattern_matches_the_page():
    words, thresholds = binarization_vectors()
    assert [philox(1, 3)[word] for word in range(4)] == words
    np.testing.assert_allclose([(word >> 11) / 2**53 for word in words], thresholds, rtol=0, atol=5e-9)


def test_the_parameters_of_likelihoods_match_the_page():
    """The table of formulas, before the test vectors, names the parameters in order."""
    rows = re.findall(r"^\| `(\w+)` \| (`\w+` \w(?:, `\w+` \w)*) \|", PAGE, re.MULTILINE)
    assert {name: tuple(re.findall(r"`(\w+)`", parts)) for name, parts in rows} == {
        name: likelihoods.get(name).parameters for name in LIKELIHOODS
    }


def test_the_fields_of_the_manifest_match_the_page(bundle_path):
    section = PAGE.split("## The manifest")[1].split("\n## ")[0]
    heads = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
    fields = [name for head in heads for name in re.findall(r"`(\w+)`", head)]
    assert sorted(fields) == sorted(json.loads((bundle_path / "manifest.json").read_text()))


def test_percentiles_match_the_page():
    """With the page's entries, in Python and in JavaScript."""
    ((percents, elbo),) = re.findall(r"With `percents` ([\d,\s]+) and `elbo` ([-\d,\s]+) an", PAGE)
    scoring_field = {"percents": numbers(percents), "elbo": numbers(elbo)}
    (head,) = re.findall(r"^\| elbo \|(.*)\|$", PAGE, re.MULTILINE)
    (row,) = re.findall(r"^\| percentile \|(.*)\|$", PAGE, re.MULTILINE)
    values, expected = (numbers(text.replace("|", ",")) for text in (head, row))
    found = scoring.percentile(SimpleNamespace(scoring=scoring_field), np.array(values))
    np.testing.assert_allclose(found, expected)
    code = """
import { percentile } from "./likelihood.mjs";
output(input.values.map((value) => percentile(input.scoring, value)));
"""
    javascript_found = javascript(
        code, ROOT / "kvae" / "explorer" / "page", {"scoring": scoring_field, "values": values}
    )
    np.testing.assert_allclose(javascript_found, expected)


def test_the_rate_matches_the_page():
    pattern = r"Test vectors: `loc` (.*?) and `scale` (.*?) have a rate of ([\d.]+) nats \(([\d.]+) and ([\d.]+)\)"
    ((loc, scale, total, *parts),) = re.findall(pattern, PAGE, re.DOTALL)
    found = latents.rates(np.array([numbers(loc)]), np.array([numbers(scale)]))[0]
    np.testing.assert_allclose(found, [float(part) for part in parts], atol=1e-7)
    np.testing.assert_allclose(found.sum(), float(total), atol=1e-7)


def numbers(text: str) -> list[float]:
    return [float(part) for part in text.split(",")]
