"""The JavaScript of kvae/explorer/page, run by node: against the vectors in docs/bundle-format.md, against the
equivalent Python, and against Python's decimals with many digits."""

from decimal import Context, Decimal, localcontext
from itertools import product

import numpy as np
import pytest
from format_page import (
    PIXELS,
    binarization_vectors,
    choice_vectors,
    choice_weights,
    group_vector,
    likelihood_vectors,
    noise_vectors,
)
from philox import philox, specified_choice  # in Python integers
from programs import ROOT, javascript

from kvae.bundle import binarization, noise
from kvae.bundle.densities import log_density
from kvae.config import LIKELIHOODS
from kvae.files import pictures

PAGE = ROOT / "kvae" / "explorer" / "page"
TOP = 2**64 - 1
EXTREMES = {
    "bernoulli": [[-1000.0, -50.0, -1e-3, 0.0, 1e-6, 3.0, 50.0, 1000.0]],
    "continuous_bernoulli": [[-1000.0, -50.0, -1e-3, 0.0, 1e-30, 1e-6, 0.0999, 3.0, 50.0, 1000.0]],
    "discretized_logistic": [[-0.3, 0.0, 0.37, 1.4], [1 / 2040, 0.004, 0.1, 10.0]],
    "normal": [[-50.0, 0.0, 0.5, 50.0], [0.01, 0.3, 1.0, 100.0]],
}

STANDARD_NORMAL = """
import { standardNormal } from "./noise.mjs";
output(input.map(([seed, start, count, dim]) => Array.from(standardNormal(BigInt(seed), BigInt(start), count, dim))));
"""
LOG_DENSITY = """
import { logDensity } from "./likelihood.mjs";
const floats = (values) => Float32Array.from(values);
output(input.map(([name, parameters, image, channels]) =>
  logDensity(name, floats(parameters), floats(image), channels)));
"""


def standard_normals(calls):
    """The noise that noise.mjs draws for each (seed, start, count, dim)."""
    return javascript(STANDARD_NORMAL, PAGE, [(str(seed), str(start), count, dim) for seed, start, count, dim in calls])


def log_densities(calls):
    """The log density that likelihood.mjs computes for each (name, parameters, image, channels)."""
    return javascript(LOG_DENSITY, PAGE, [(n, p.ravel().tolist(), x.ravel().tolist(), c) for n, p, x, c in calls])


def eight_bit(rng, shape):
    return rng.integers(0, 256, shape).astype(np.float32) / np.float32(255)


def exact(name, x, *parameters):
    """log p of a pixel, exactly as in the page's table: in decimals with enough digits to lose none."""
    with localcontext(prec=1400):
        x, first, second = (Decimal(float(value)) for value in (x, *parameters, 1)[:3])
        if name == "bernoulli":
            return float(x * first - ln(1 + first.exp()))
        if name == "continuous_bernoulli":
            return float(x * first - ln((first.exp() - 1) / first)) if first else 0.0
        if name == "normal":
            pi = Decimal("3.14159265358979323846264338327950288")
            return float(-(((x - first) / second) ** 2) / 2 - ln(second) - ln(2 * pi) / 2)
        n = (255 * x).to_integral_value()
        half = Decimal("0.5")
        below, above = (1 / (1 + (-(edge / 255 - first) / second).exp()) for edge in (n - half, n + half))
        return float(ln(above if n == 0 else 1 - below if n == 255 else above - below))


def ln(value):
    """The logarithm to 40 digits, which adds no error of its own."""
    return Context(prec=40).ln(value)


def test_words_match_the_page_and_philox():
    """The page's vectors, numpy's, and Philox in Python's integers with counters of up to 256 bits."""
    cases = [(seed, image * -(-dim // 4) + 1, words) for seed, image, dim, words, _ in noise_vectors()]
    cases.append((3, 1, binarization_vectors()[0]))
    counters = [0, 1, TOP, TOP + 1, 2**128 - 1, 2**128, 2**192 + 5, 2**256 - 1, (TOP * 9 + 3)]
    cases += [(key, counter, philox(counter, key)) for key, counter in product((0, 7, 2**53, TOP), counters)]
    code = """
    import { philox } from "./noise.mjs";
    output(input.map(([key, counter]) => philox(BigInt(key), BigInt(counter)).map(String)));
    """
    found = javascript(code, PAGE, [(str(key), str(counter)) for key, counter, _ in cases])
    assert [[int(word) for word in block] for block in found] == [words for _, _, words in cases]


def test_words_concatenate_the_blocks():
    """For any count, even across a carry into the counter's second word."""
    first = TOP - 1
    code = (
        'import { words } from "./noise.mjs"; output(input.map((n) => [...words(9n, 2n ** 64n - 2n, n)].map(String)));'
    )
    lined_up = [str(word) for block in range(4) for word in philox(first + block, 9)]
    assert javascript(code, PAGE, [0, 1, 3, 4, 5, 16]) == [lined_up[:count] for count in (0, 1, 3, 4, 5, 16)]


def test_noise_matches_the_page():
    vectors = noise_vectors()
    found = standard_normals([(seed, image, 1, dim) for seed, image, dim, _, _ in vectors])
    for (*_, numbers), numbers_found in zip(vectors, found, strict=True):
        assert numbers_found == [float(np.float32(number)) for number in numbers]


def test_noise_matches_python():
    """For latent dimensions 1 to 40, random and extreme seeds and indices: within a float32 step, nearly all equal."""
    rng = np.random.default_rng(0)
    edges = [0, 1, 2**32 - 1, 2**53 - 1, 2**53, 2**62 - 1, 2**63, TOP - 4]
    calls = [(seed, start, 3, 1 + index % 40) for index, (seed, start) in enumerate(product([*edges, TOP], edges))]
    drawn = rng.integers(0, TOP, (160, 2), dtype=np.uint64, endpoint=True)
    calls += [(int(seed), min(int(start), TOP - 50), 50, 1 + i % 40) for i, (seed, start) in enumerate(drawn)]
    found = np.concatenate([np.float32(numbers) for numbers in standard_normals(calls)])
    expected = np.concatenate([noise.standard_normal(*call).ravel() for call in calls])
    steps = np.abs(found.view(np.int32).astype(np.int64) - expected.view(np.int32))
    assert found.size > 150_000
    assert steps.max() <= 1
    # Of float64s that differ in the last bit, 1 in 2^29 rounds differently.
    assert np.count_nonzero(steps) <= 1e-6 * found.size


def test_an_image_s_noise_does_not_depend_on_the_call():
    alone = standard_normals([(7, start, 1, 5) for start in range(10)])
    (together, part) = standard_normals([(7, 0, 10, 5), (7, 4, 3, 5)])
    assert together == [number for numbers in alone for number in numbers]
    assert part == together[20:35]
    assert standard_normals([(7, 0, 0, 5)]) == [[]]


CHOICES = """
import { choices, COMPONENTS, LABELS } from "./noise.mjs";
const streams = { 1: COMPONENTS, 2: LABELS };
output(input.map(([seed, start, count, table, stream]) =>
  Array.from(choices(BigInt(seed), BigInt(start), count, table, streams[stream]), Number)));
"""


def test_choices_match_the_page():
    (weights, _), vectors = choice_weights(), choice_vectors()
    calls = [(str(seed), str(image), 1, table, stream) for stream, seed, image, *_ in vectors for table in weights]
    chosen = [[choice] for *_, of_a, of_b in vectors for choice in (of_a, of_b)]
    assert javascript(CHOICES, PAGE, calls) == chosen


def test_temperatures_of_groups_match_the_page():
    seed, image, dim, groups, temperatures, numbers = group_vector()
    code = 'import { draws } from "./noise.mjs"; output(Array.from(draws(...input).noise));'
    found = javascript(code, PAGE, [{"latent_dim": dim, "groups": groups}, seed, image, 1, temperatures])
    assert found == [float(np.float32(number)) for number in numbers]


def test_choices_match_python():
    """Those of components and of labels, for extreme seeds and indices, weights of 0, one thing, and 10,000 things."""
    many = noise.cumulative(np.random.default_rng(0).random(10_000) ** 8)
    tables = [[2**53], [0, 2**52, 2**52, 2**53], [1, 2**53 - 1, 2**53], noise.cumulative(np.ones(10)), many]
    edges = [0, 1, 2**32 - 1, 2**53, 2**63, TOP - 4]
    calls = [(*case, 5, table, stream) for *case, table, stream in product([*edges, TOP], edges, tables, (1, 2))]
    found = javascript(CHOICES, PAGE, [(str(seed), str(start), *rest) for seed, start, *rest in calls])
    for (seed, start, count, table, stream), chosen in zip(calls, found, strict=True):
        assert chosen == noise.choices(seed, start, count, table, stream).tolist()
    seed, start, count, table, stream = calls[-1]
    assert found[-1] == [specified_choice(seed, start + i, table, stream) for i in range(count)]


DRAWS = """
import { draws } from "./noise.mjs";
output(input.map(([manifest, ...rest]) => {
  try {
    const found = draws(manifest, 7, 3, 4, ...rest);
    return Object.fromEntries(Object.entries(found).map(([name, values]) => [name, Array.from(values, Number)]));
  } catch (error) { return `${error.name}: ${error.message}`; }
}));
"""


def test_draws_are_the_inputs_of_the_graphs():
    """Noise times the temperature, of each group its own; components and labels; and what is refused."""
    half, whole = 2**52, 2**53
    plain = {"latent_dim": 3, "components": None, "labels": None, "label_weights": None, "groups": None}
    full = plain | {"components": [half, whole], "labels": ["a", "b"], "label_weights": [half, whole], "groups": [1, 2]}
    z = noise.standard_normal(7, 3, 4, 3)
    component, label = (noise.choices(7, 3, 4, [half, whole], stream).tolist() for stream in (1, 2))
    calls = [(plain, 0.7), ({"latent_dim": 3},), (full, [0.7, 1.1]), (full, 0.7, 1)]
    one, same, drawn, chosen = javascript(DRAWS, PAGE, calls)
    assert one == {"noise": (z * np.float32(0.7)).ravel().tolist()}
    assert same == {"noise": z.ravel().tolist()}
    by_group = (z * np.float32([0.7, 1.1, 1.1])).ravel().tolist()
    assert drawn == {"noise": by_group, "component": component, "label": label}
    assert chosen == one | {"component": component, "label": [1] * 4}
    assert javascript(DRAWS, PAGE, [(full, 1, 2), (full, 1, 0.5), (full, [1, 1, 1]), (plain, [1, 1])]) == [
        "RangeError: label is 2; expected an integer from 0 to 1",
        "RangeError: label is 0.5; expected an integer from 0 to 1",
        "RangeError: temperature has 3 numbers; this model has 2 groups",
        "RangeError: temperature has 2 numbers; this model has 1 groups",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("-1, 0, 1, 3", "seed is -1 (number); expected an integer from 0 to 2^64 - 1"),
        ("1.5, 0, 1, 3", "seed is 1.5 (number); expected an integer from 0 to 2^64 - 1"),
        ("NaN, 0, 1, 3", "seed is NaN (number); expected an integer from 0 to 2^64 - 1"),
        ('"7", 0, 1, 3', "seed is 7 (string); expected an integer from 0 to 2^64 - 1"),
        ("undefined, 0, 1, 3", "seed is undefined (undefined); expected an integer from 0 to 2^64 - 1"),
        ("2n ** 64n, 0, 1, 3", "seed is 18446744073709551616 (bigint); expected an integer from 0 to 2^64 - 1"),
        ("2 ** 53, 0, 1, 3", "seed is 9007199254740992, where a number is no longer exact; expected a BigInt"),
        ("0, -1n, 1, 3", "start is -1 (bigint); expected an integer from 0 to 2^64 - 1"),
        ("0, 2n ** 64n - 1n, 2, 3", "start + count is above 2^64: there are no such images"),
        ("0, 0, -1, 3", "count is -1; expected an integer from 0"),
        ("0, 0, 1.5, 3", "count is 1.5; expected an integer from 0"),
        ("0, 0, 1, 0", "dim is 0; expected an integer from 1"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    code = f"""
    import {{ standardNormal }} from "./noise.mjs";
    try {{ standardNormal({arguments}); output(null); }} catch (error) {{ output([error.name, error.message]); }}
    """
    assert javascript(code, PAGE) == ["RangeError", message]


def test_the_noise_of_64_images_takes_less_than_20_ms():
    """With 16 dimensions; the best of five, because other programs share the machine."""
    code = """
    import { standardNormal } from "./noise.mjs";
    const times = [0, 1, 2, 3, 4].map((seed) => {
      const start = performance.now();
      standardNormal(seed, 0, 64, 16);
      return performance.now() - start;
    });
    output(Math.min(...times));
    """
    assert javascript(code, PAGE) < 20


def test_densities_match_the_page():
    found = log_densities([(name, parameters, PIXELS, 1) for name, parameters, _ in likelihood_vectors()])
    expected = [value for _, _, value in likelihood_vectors()]
    np.testing.assert_allclose(found, expected, rtol=0, atol=5e-6)  # the page's parameters are decimals, ours float32


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_densities_match_python(channels):
    """Random images under every extreme parameter: 1e-5 nats per pixel and 2e-6 of the sum, float32's rounding."""
    rng = np.random.default_rng(channels)
    shape = (9, 7, channels)
    calls = []
    for name, values in EXTREMES.items():
        for _ in range(10):
            parts = [rng.choice(np.float32(choice), shape) for choice in values]
            calls.append((name, np.concatenate(parts, axis=-1), eight_bit(rng, shape), channels))
    assert {name for name, *_ in calls} == set(LIKELIHOODS)
    for found, (name, parameters, image, _) in zip(log_densities(calls), calls, strict=True):
        expected = log_density(name, parameters[None].copy(), image)[0]
        assert found == pytest.approx(expected, abs=1e-5 * image.size, rel=2e-6), name


@pytest.mark.parametrize("name", EXTREMES)
def test_densities_are_exact(name):
    """Each extreme parameter at black, greys and white, against decimals of 1400 digits: within 1e-13 and relative
    1e-12."""
    pixels = np.float32([0, 1 / 255, 0.5, 254 / 255, 1])
    cases = [(x, *map(np.float32, parts)) for x, *parts in product(pixels, *EXTREMES[name])]
    found = log_densities([(name, np.float32(parts), np.float32([x]), 1) for x, *parts in cases])
    expected = [exact(name, *case) for case in cases]
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-13)


def test_an_unknown_likelihood_and_wrong_lengths_are_refused():
    code = """
    import { logDensity } from "./likelihood.mjs";
    output(input.map(([name, parameters, pixels, channels]) => {
      try { return logDensity(name, new Float32Array(parameters), new Float32Array(pixels), channels); }
      catch (error) { return `${error.name}: ${error.message}`; }
    }));
    """
    calls = [("gamma", 4, 4, 1), ("toString", 4, 4, 1), ("normal", 4, 4, 1), ("bernoulli", 4, 4, 3)]
    known = "bernoulli, continuous_bernoulli, discretized_logistic, normal"
    assert javascript(code, PAGE, calls) == [
        f"RangeError: likelihood is gamma; known are {known}",
        f"RangeError: likelihood is toString; known are {known}",
        "RangeError: 4 pixels in 1 channels have 4 parameters; normal expects 2 for each pixel",
        "RangeError: 4 pixels in 3 channels have 4 parameters; bernoulli expects 1 for each pixel",
    ]


def test_rates_are_the_divergence_from_the_prior():
    """By quadrature of q ln(q / p) in each dimension."""
    loc, scale = [0.0, 1.5, -3.0, 0.2], [1.0, 0.5, 0.01, 2.0]
    code = 'import { rates } from "./likelihood.mjs"; output(rates(input[0], Float64Array.from(input[1])));'
    units = np.linspace(-12, 12, 20_001)
    expected = []
    for mean, deviation in zip(loc, scale, strict=True):
        x = mean + deviation * units
        log_q, log_p = -(units**2) / 2 - np.log(deviation), -(x**2) / 2
        density = np.exp(log_q) / np.sqrt(2 * np.pi)
        expected.append(np.trapezoid(density * (log_q - log_p), x))
    np.testing.assert_allclose(javascript(code, PAGE, [loc, scale]), expected, rtol=1e-9, atol=1e-12)


def test_the_log_density_of_draws_from_posteriors():
    """Of a posterior for all draws, and of one for each, as in a ladder, against numpy's quadratic form."""
    code = """
    import { logPosterior } from "./likelihood.mjs";
    output(input.map(([noise, scale]) => logPosterior(Float32Array.from(noise), Float32Array.from(scale))));
    """
    rng = np.random.default_rng(0)
    noise_, loc = rng.normal(size=(5, 3)).astype(np.float32), rng.normal(size=3)
    for_all, for_each = rng.uniform(0.01, 2, 3).astype(np.float32), rng.uniform(0.01, 2, (5, 3)).astype(np.float32)
    expected = []
    for scale in (for_all, for_each):
        z = loc + scale * noise_.astype(np.float64)
        expected.append(np.sum(-0.5 * ((z - loc) / scale) ** 2 - np.log(scale.astype(np.float64) * np.sqrt(2 * np.pi))))
    found = javascript(code, PAGE, [(noise_.ravel().tolist(), s.ravel().tolist()) for s in (for_all, for_each)])
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_a_percentile_is_interpolated_among_the_training_images():
    """Between entries, at them, outside them, and where entries are equal; numpy's interpolation as the reference."""
    scoring = {"percents": [0, 10, 50, 60, 100], "elbo": [-300, -250, -240, -240, -200]}
    values = [-1e9, -300.0001, -300, -299, -260, -250, -245, -240.0001, -239, -200.5]
    code = (
        'import { percentile } from "./likelihood.mjs"; output(input[1].map((value) => percentile(input[0], value)));'
    )
    expected = [np.interp(value, scoring["elbo"], scoring["percents"]) for value in values]
    np.testing.assert_allclose(javascript(code, PAGE, [scoring, values]), expected, rtol=1e-12)
    assert javascript(code, PAGE, [scoring, [-300, -240, -200, -199, 1e9]]) == [0, 60, 100, 100, 100]
    tied = {"percents": [0, 1, 99, 100], "elbo": [-5, -5, -1, -1]}
    assert javascript(code, PAGE, [tied, [-6, -5, -3, -1]]) == [0, 1, 50, 100]


def test_a_value_that_is_not_finite_has_no_percentile():
    code = """
    import { percentile } from "./likelihood.mjs";
    const scoring = { percents: [0, 100], elbo: [-2, -1] };
    output([NaN, -Infinity, Infinity].map((elbo) => String(percentile(scoring, elbo))));
    """
    assert javascript(code, PAGE) == ["NaN", "0", "100"]


BINARIZE = """
import { binarize } from "./likelihood.mjs";
output(input.map((pixels) => Array.from(binarize(Float32Array.from(pixels)))));
"""


def test_binary_pixels_match_numpy_s_words():
    """For images of several sizes, small after large and vice versa, because thresholds are kept between calls."""
    rng = np.random.default_rng(5)
    images = [rng.random(size, dtype=np.float32) for size in (4, 784, 3, 2352, 100)]
    uniform = (np.random.Philox(key=3).random_raw(2352) >> np.uint64(11)) * 2.0**-53
    expected = [(uniform[: image.size] < image).astype(float).tolist() for image in images]
    assert javascript(BINARIZE, PAGE, [image.tolist() for image in images]) == expected
    assert expected == [binarization.binarize_alike(image[None])[0].tolist() for image in images]


def test_binary_pixels_flip_at_the_thresholds_of_the_page():
    _, thresholds = binarization_vectors()
    above, below = ([threshold + step for threshold in thresholds] for step in (1e-6, -1e-6))
    black_and_white = [0, 1] * 50
    found = javascript(BINARIZE, PAGE, [above, below, black_and_white])
    assert found == [[1] * 4, [0] * 4, black_and_white]


def test_bytes_match_python():
    """Every byte there and back, values around them, and values outside [0, 1]; 0.5 is the only tie."""
    code = 'import { toByte } from "./likelihood.mjs"; output(input.map(toByte));'
    levels = np.arange(256, dtype=np.float32) / np.float32(255)
    assert javascript(code, PAGE, levels.tolist()) == list(range(256))
    pixels = np.concatenate([np.random.default_rng(0).random(20_000, np.float32), np.float32([-0.1, 0, 0.5, 1, 1.1])])
    found = np.array(javascript(code, PAGE, pixels.tolist()))
    assert np.array_equal(found, np.clip(np.rint(pixels.astype(np.float64) * 255), 0, 255))
    assert np.abs(found - pictures.to_uint8(pixels)).max() <= 1
