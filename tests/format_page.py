"""The test vectors of docs/bundle-format.md, read from the page."""

import re

import numpy as np
from programs import ROOT

PAGE = (ROOT / "docs" / "bundle-format.md").read_text()


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
