"""Untrusted text made safe to show."""

import pytest

from kvae.files.text import printable, shown

WORDS = {
    "escape sequences": ("a\x1b[31mred", "a?[31mred", "a\\x1b[31mred"),
    "lines and tabs": ("two\nlines\tand", "two lines and", "two\\nlines\\tand"),
    "the direction of writing": ("gpj.\u202eexe", "gpj.?exe", "gpj.\\u202eexe"),
    "half a surrogate pair": ("x\udc80y", "x?y", "x\\udc80y"),
    "a bell and a null": ("\x07\0", "??", "\\x07\\x00"),
    "letters of any script": ("Größe 大", "Größe 大", "Größe 大"),
}


@pytest.mark.parametrize("kind", WORDS)
def test_text_is_made_safe(kind):
    text, line, name = WORDS[kind]
    assert printable(text) == line
    assert shown(text) == name
    assert printable(text).isprintable() and shown(text).isprintable()


def test_a_long_text_is_cut():
    assert len(printable("x" * 10_000)) == 200 and printable("abcdef", 3) == "abc"


def test_an_error_is_its_text():
    assert printable(ValueError("a\n b")) == "a b"
