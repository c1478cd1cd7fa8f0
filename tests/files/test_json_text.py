"""JSON that strict parsers read."""

import json

import pytest

from kvae.files import json_text


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_are_not_finite_become_null_at_any_depth(number):
    values = {"a": number, "b": [number, 1.5, (number,)], "c": {"d": number, "e": "NaN", "f": True, "g": None}}
    text = json_text.dumps(values)
    read = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert read == {"a": None, "b": [None, 1.5, [None]], "c": {"d": None, "e": "NaN", "f": True, "g": None}}


def test_finite_values_are_written_as_python_writes_them():
    values = {"a": [1, 2.5, "x"], "b": {}}
    assert json_text.dumps(values, indent=2) == json.dumps(values, indent=2)
    assert json_text.dumps(values) == json.dumps(values)
