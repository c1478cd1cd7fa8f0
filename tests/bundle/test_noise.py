"""The noise against Philox4x64-10 written out in Python integers, and against the normal distribution."""

import math

import numpy as np
import pytest
from philox import philox, specified_noise

from kvae.bundle import noise
from kvae.errors import KvaeError


def test_the_tests_philox_equals_numpy_s():
    """It gives the known words of key 7 at numpy's counter 0."""
    words = [0xDF4034B829E9FBA4, 0x4B9D10CDF8E64087, 0x6B8B857E506AAC98, 0x67C7C945B1BA6E52]
    assert philox(1, 7) == words
    assert np.random.Philox(key=7, counter=0).random_raw(4).tolist() == words


@pytest.mark.parametrize(("seed", "start", "dim"), [(0, 0, 16), (7, 3, 5), (2**64 - 1, 5_000_000, 1)])
def test_noise_follows_the_specification(seed, start, dim):
    expected = [specified_noise(seed, image, dim) for image in range(start, start + 3)]
    np.testing.assert_allclose(noise.standard_normal(seed, start, 3, dim), expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("dim", [1, 2, 6, 16])
def test_any_split_gives_the_same_bits(dim):
    whole = noise.standard_normal(3, 0, 37, dim)
    parts = [noise.standard_normal(3, start, min(5, 37 - start), dim) for start in range(0, 37, 5)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    assert whole.dtype == np.float32


def test_noise_is_standard_normal():
    """The mean, variance, kurtosis and correlation of 400,000 numbers, within 5 standard errors."""
    draws = noise.standard_normal(1, 0, 100_000, 4).astype(np.float64)
    n = draws.size
    assert abs(draws.mean()) < 5 / math.sqrt(n)
    assert abs(draws.var() - 1) < 5 * math.sqrt(2 / n)
    assert abs((draws**4).mean() - 3) < 5 * math.sqrt(96 / n)
    assert np.abs(np.corrcoef(draws.T) - np.eye(4)).max() < 5 / math.sqrt(len(draws))


@pytest.mark.parametrize(("seed", "start"), [(-1, 0), (2**64, 0), (0, -1)])
def test_out_of_range(seed, start):
    with pytest.raises(KvaeError, match="must be"):
        noise.standard_normal(seed, start, 1, 2)


def test_a_stream_s_numbers_follow_the_specification_s_words():
    """Philox with the key (seed, stream) and the place in the upper words of the counter; two words to two normals."""
    words = np.random.Philox(key=np.array([7, 3], np.uint64), counter=np.array([0, 0, 5, 2], np.uint64)).random_raw(8)
    stream = noise.Stream(7, noise.CHAINS, 5, 2)
    uniforms = ((words[:3] >> np.uint64(11)).astype(float) + 0.5) / 2**53
    np.testing.assert_array_equal(stream.uniforms(3), uniforms)
    u, v = (int(words[3]) >> 11) + 1, int(words[4]) >> 11
    radius, angle = math.sqrt(-2 * math.log(u / 2**53)), 2 * math.pi * v / 2**53
    np.testing.assert_allclose(stream.normals(1, 1), [[radius * math.cos(angle)]])
    assert stream.uniforms(2, 3).shape == (2, 3)


def test_streams_of_other_places_seeds_and_purposes_differ():
    places = [(0, 3), (1, 3), (0, 3, 1), (0, 3, 0, 1), (0, 1)]
    firsts = {noise.Stream(*place).uniforms(1)[0] for place in places}
    assert len(firsts) == len(places) and all(0 < first < 1 for first in firsts)
    normals = noise.Stream(0, noise.CHAINS).normals(200_001)
    assert abs(normals.mean()) < 5 / math.sqrt(200_001) and abs(normals.var() - 1) < 5 * math.sqrt(2 / 200_001)


def test_a_stream_s_seed_is_checked():
    with pytest.raises(KvaeError, match="seed must be"):
        noise.Stream(-1, noise.CHAINS)
