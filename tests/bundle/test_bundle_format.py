"""The numbers that docs/bundle-format.md gives to implementers, checked against the code."""

import json
import re
from statistics import NormalDist
from types import SimpleNamespace

import numpy as np
import pytest
from format_page import (
    LIST,
    PAGE,
    PIXELS,
    TEXT,
    binarization_vectors,
    choice_vectors,
    choice_weights,
    group_vector,
    likelihood_vectors,
    noise_vectors,
    table,
)
from philox import philox  # in Python integers
from programs import ROOT, javascript

from kvae import likelihoods
from kvae.bundle import noise
from kvae.bundle.densities import log_density
from kvae.bundle.fields import SINCE_2
from kvae.bundle.manifest import contract
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


def test_choices_match_the_page():
    """In Python integers, and by kvae; the streams are those of components and labels."""
    weights, shares = choice_weights()
    assert [noise.cumulative(np.array(share)) for share in shares] == weights
    assert len(choice_vectors()) == 8
    for stream, seed, image, word, place, *chosen in choice_vectors():
        assert philox(image + 1, seed, stream)[0] == word and word >> 11 == place
        assert [sum(weight <= place for weight in cumulative) for cumulative in weights] == chosen
        assert [noise.choices(seed, image, 1, cumulative, stream).tolist() for cumulative in weights] == [
            [choice] for choice in chosen
        ]
    assert {stream for stream, *_ in choice_vectors()} == {noise.COMPONENTS, noise.LABELS} == {1, 2}


def test_temperatures_of_groups_match_the_page():
    seed, image, dim, groups, temperatures, expected = group_vector()
    factors = np.repeat(np.float32(temperatures), groups)
    found = factors * noise.standard_normal(seed, image, 1, dim)[0]
    assert [np.format_float_positional(number) for number in found] == expected


def test_p_of_x_with_labels_matches_the_page():
    ((given, value),) = re.findall(rf"with ln p\(x\|y\) of {LIST}, ln p\(x\) is {LIST}\. ", TEXT)
    probs = np.diff([0, *choice_weights()[0][0]]) / 2**53
    assert np.log(np.sum(probs * np.exp(numbers(given)))) == pytest.approx(float(value), abs=1e-6)


def test_log_weights_match_the_page():
    given = rf"`loc` {LIST}, `scale` {LIST} and the noise of seed 0, image 0, which is {LIST}, give z {LIST}, "
    densities = rf"ln q\(z\|x\) {LIST}, and under N\(0, I\) ln p\(z\) {LIST}\. "
    weight = rf"If ln p\(x\|z\) is {LIST}, then ln w is {LIST}\. "
    ((loc, scale, epsilon, z, *rest),) = re.findall(given + densities + weight, TEXT)
    log_q, log_p, log_likelihood, log_weight = map(float, rest)
    drawn = noise.standard_normal(0, 0, 1, 2)
    assert [np.format_float_positional(number) for number in drawn[0]] == epsilon.split()
    posterior = [np.float32([numbers(text)]) for text in (loc, scale)]
    codes = latents.posterior_draws(*posterior, drawn)
    assert [np.format_float_positional(number) for number in codes[0]] == z.split()
    normals = [NormalDist(mean, sd) for mean, sd in zip(numbers(loc), numbers(scale), strict=True)]
    code = codes[0].tolist()
    found_q = sum(np.log(normal.pdf(value)) for normal, value in zip(normals, code, strict=True))
    found_p = sum(np.log(NormalDist().pdf(value)) for value in code)
    assert [found_q, found_p] == pytest.approx([log_q, log_p], abs=2e-6)
    assert log_likelihood + found_p - found_q == pytest.approx(log_weight, abs=2e-6)


def test_rates_that_need_draws_match_the_page():
    """Of a mixture in one dimension, by its density; and of two groups, in closed form at each draw."""
    ((draws, rate),) = re.findall(r"shares, the draws are ([\d., and]+) and the rate is ([\d.]+)\. ", TEXT)
    z = 0.5 + 0.5 * noise.standard_normal(0, 0, 3, 1)[:, 0].astype(float)
    assert z == pytest.approx([float(part) for part in re.findall(r"\d\.\d+", draws)], abs=1e-6)
    posterior, low, high = (NormalDist(loc, 0.5).pdf for loc in (0.5, -1.0, 1.0))
    found = [np.log(posterior(code)) - np.log((low(code) + high(code)) / 2) for code in z.tolist()]
    assert np.mean(found) == pytest.approx(float(rate), abs=1e-6)
    pattern = r"D = 3 and s = 0, the rate is ([\d.]+), of which ([\d.]+) is that of the first"
    ((both, first),) = re.findall(pattern, TEXT)
    epsilon = noise.standard_normal(0, 0, 3, 2).astype(float)
    loc = np.stack([np.full(3, 0.5), 0.5 + 0.5 * epsilon[:, 0]], axis=1)
    rates = latents.rates(loc, np.tile([0.5, 0.25], (3, 1))).mean(axis=0)
    assert [rates.sum(), rates[0]] == pytest.approx([float(both), float(first)], abs=1e-6)


def test_the_graphs_match_the_page():
    """Every input and output of `contract`, with its type and shape, in the page's table, and nothing else."""
    rows = table("| graph | tensor | type and shape | meaning |")
    found = []
    for graph, tensor, kind, _ in rows:
        side = "inputs" if tensor.startswith("input") else "outputs"
        dtype, shape = re.match(r"(\w+) `\[(.*?)\]`", kind).groups()
        found += [(graph, side, name, dtype, shape) for name in re.findall(r"`(\w+)`", tensor)]
    sizes = {"height": 5, "width": 6, "channels": 7, "latent_dim": 3, "channels * k": 14, "batch": "batch"}
    tensors = contract((5, 6, 7), 3, 2, labelled=True, hierarchical=True, own_prior=True, components=True)
    expected = [
        (graph, side, end["name"], end["dtype"], end["shape"])
        for graph, ends in tensors.items()
        for side, tensors_of in ends.items()
        for end in tensors_of
    ]
    assert [(*start, [sizes[size] for size in shape.split(", ")]) for *start, shape in found] == expected


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
    """Of format 2 all; those that format 1 lacks are marked."""
    section = PAGE.split("## The manifest")[1].split("\n## ")[0]
    heads = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
    fields = [name for head in heads for name in re.findall(r"`(\w+)`", head)]
    later = [name for name in fields if f"| `{name}` | format 2: " in section]
    assert sorted(later) == sorted(SINCE_2)
    assert sorted({*fields} - {*later}) == sorted(json.loads((bundle_path / "manifest.json").read_text()))


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
