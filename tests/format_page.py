"""The test vectors of docs/bundle-format.md, read from the page."""

import re
from fractions import Fraction

import numpy as np
from programs import ROOT

PAGE = (ROOT / "docs" / "bundle-format.md").read_text()
TEXT = " ".join(PAGE.split())
LIST = r"(-?[\d.]+(?:,? -?[\d.]+)*)"
"""Numbers, with spaces or commas between them."""
PIXELS = np.float32([0, 0.2, 1])


def table(head: str) -> list[list[str]]:
    """The rows of the page's only table with these columns."""
    (body,) = re.findall(rf"^{re.escape(head)}\n\|[-|]+\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    cells = (re.split(r"(?<!\\)\|", line)[1:-1] for line in body.splitlines())
    return [[cell.strip() for cell in row] for row in cells]


def integer(text: str) -> int:
    """`7`, or `2^64 - 1`."""
    return 2**64 - 1 if text == "2^64 - 1" else int(text)


def hexadecimal(text: str) -> list[int]:
    return [int(word, 16) for word in re.findall(r"`([0-9a-f]{16})`", text)]


def noise_vectors() -> list[tuple[int, int, int, list[int], list[str]]]:
    """The seed, the image, latent_dim, the first four words, and the noise as printed."""
    return [
        (integer(seed), integer(image), int(dim), hexadecimal(words), numbers.split())
        for seed, image, dim, words, numbers in table("| seed | image | latent_dim | words, the first four | noise |")
    ]


def likelihood_vectors() -> list[tuple[str, np.ndarray, float]]:
    """The likelihood, the parameters `(1, 3, k)` of the three pixels, and log p(x|z)."""
    rows = []
    for name, parameters, value in table("| likelihood | parameters | log p(x\\|z) |"):
        lists = [[float(number) for number in part.split(maxsplit=1)[1].split(",")] for part in parameters.split(";")]
        rows.append((name.strip("`"), np.float32(lists).T[None], float(value)))
    return rows


def binarization_vectors() -> tuple[list[int], list[float]]:
    """The first words of the pattern, and the pixel values above which they give 1."""
    pattern = r"first four words are (.*?): pixels become 1 above ([\d.,\s]*\d)"
    ((words, thresholds),) = re.findall(pattern, PAGE, re.DOTALL)
    return hexadecimal(words), [float(number) for number in thresholds.split(",")]


def choice_vectors() -> list[tuple[int, int, int, int, int, int, int]]:
    """The stream, the seed, the image, the first word, the number of it, and the choices of weights A and B."""
    rows = table("| t | seed | image | word | word >> 11 | of A | of B |")
    return [
        (int(t), integer(seed), integer(image), *hexadecimal(word), *map(int, rest))
        for t, seed, image, word, *rest in rows
    ]


def choice_weights() -> tuple[list[list[int]], list[list[float]]]:
    """The weights A and B, and the probabilities that the page says they stand for."""
    pattern = rf"for the weights A = {LIST} \(probabilities ([^)]*)\) and B = {LIST} \(([^)]*)\):"
    ((a, shares_a, b, shares_b),) = re.findall(pattern, TEXT)
    shares = [[float(Fraction(part)) for part in re.findall(r"\d/\d|\d", text)] for text in (shares_a, shares_b)]
    return [[int(weight) for weight in text.split(",")] for text in (a, b)], shares


def group_vector() -> tuple[int, int, int, list[int], list[float], list[str]]:
    """The seed, the image, latent_dim, the groups, the temperature of each, and the noise as printed."""
    pattern = rf"seed (\d), image (\d), latent_dim (\d), `groups` {LIST} and temperatures {LIST}, `e` is {LIST}\. "
    ((seed, image, dim, groups, temperatures, noise),) = re.findall(pattern, TEXT)
    sizes, factors = [int(size) for size in groups.split(",")], [float(value) for value in temperatures.split(",")]
    return int(seed), int(image), int(dim), sizes, factors, noise.split()
