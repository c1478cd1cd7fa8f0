"""What the shape of an array says, and the line that repairs one that says something else."""

import numpy as np
import pytest

from kvae.data import shapes
from kvae.numbers import rescaled


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((5, 7), (5, 1, 7, 1)), ((5, 8, 9), (5, 8, 9, 1)), ((5, 8, 9, 3), (5, 8, 9, 3)), ((5,), (5,))],
)
def test_an_array_is_a_table_or_images(shape, expected):
    assert shapes.as_images(shape) == expected


@pytest.mark.parametrize(
    ("shape", "wanted"),
    [
        ((5, 3, 8, 9), (8, 9, 3)),
        ((5, 1, 8, 9), (8, 9, 1)),
        ((8, 9, 3), (8, 9, 3)),
        ((8, 9), (8, 9, 1)),
        ((3, 8, 9), (8, 9, 3)),
        ((5, 72), (8, 9, 1)),
        ((5, 216), (8, 9, 3)),
    ],
)
def test_the_advice_makes_the_array_fit_the_model(shape, wanted):
    """The line in the message is run on an array of that shape."""
    advice = shapes.advice(shape, wanted)
    (line,) = (
        advice.split(start)[1].rstrip(".")
        for start in ("transpose with ", "axis with ", "them with ")
        if start in advice
    )
    x = np.zeros(shape)
    assert shapes.as_images(eval(line, {"np": np, "x": x}).shape)[1:] == wanted


@pytest.mark.parametrize(("shape", "wanted"), [((5, 8, 9, 4), (8, 9, 3)), ((5, 7), (1, 9, 1)), ((5, 8), (8, 9, 1))])
def test_without_a_likely_mistake_there_is_no_advice(shape, wanted):
    assert shapes.advice(shape, wanted) == ""


@pytest.mark.parametrize(
    ("low", "high", "line"),
    [
        (0, 255, "x / 255"),
        (3.5, 200, "x / 255"),
        (0, 65535, "x / 65535"),
        (-1, 1, "(x + 1) / 2"),
        (-0.9, 0.7, "(x + 1) / 2"),
        (-0.5, 0.4, "x + 0.5"),
        (0, 1.004, "np.clip(x, 0, 1)"),
        (-1e-7, 1.0000001, "np.clip(x, 0, 1)"),
        (0, 12, "(x - x.min()) / (x.max() - x.min())"),
        (-4, 9, "(x - x.min()) / (x.max() - x.min())"),
    ],
)
def test_the_line_for_a_range_brings_its_numbers_into_0_to_1(low, high, line):
    assert rescaled(low, high) == line
    found = eval(line, {"np": np, "x": np.linspace(low, high, 50)})
    assert found.min() >= 0 and found.max() <= 1


@pytest.mark.parametrize(("columns", "side"), [(784, 28), (64, 8), (49, None), (783, None), (7, None)])
def test_rows_that_could_be_flat_images_are_pointed_out(columns, side):
    assert shapes.maybe_flat(columns) == (
        f"; if its rows are flat {side} x {side} images, save x.reshape(-1, {side}, {side})" if side else ""
    )
