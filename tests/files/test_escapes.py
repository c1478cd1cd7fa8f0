"""Text of strangers in a page, a card, its front matter and a command."""

import os
import re
import shutil
import subprocess

import pytest
import yaml

from kvae.files import escapes

NASTY = [
    "a\nb", "\x1b[2Jgone", "\u202eexe.png", "zero\u200bwidth", "\x9b31m", "a\u2028b", "\x00", "\x7f",
    "</script><script>alert(1)</script>", "![x](javascript:alert(1))", "`code`", "a|b", "**bold**", "_it_ __b__",
    "~~s~~", "# h", "$(touch owned)", "`touch owned`", "; touch owned", "'; touch owned; '", "--- \nlicense: mit",
    "a: b # c", "{a: b}", "[1]", "!!python/object:os.system", "&amp;", "&anchor", "*alias", "\\", "%TAG", "@x",
    "\U0001f600", "été", "http://example.com", "www.example.com", "$x^2$", "", " ", "- a", "null", "1e3", "\tq", "\x85",
]  # fmt: skip


@pytest.mark.parametrize("text", NASTY, ids=range(len(NASTY)))
def test_front_matter_holds_the_text_and_nothing_else(text):
    found = yaml.safe_load(f"license: {escapes.yaml(text)}\nother: [{escapes.yaml(text)}, {{a: {escapes.yaml(text)}}}]")
    assert set(found) == {"license", "other"}
    assert found["license"] == found["other"][0] == found["other"][1]["a"]
    assert found["license"].isprintable()
    if text.isprintable():
        assert found["license"] == text


@pytest.mark.parametrize("text", NASTY, ids=range(len(NASTY)))
def test_a_command_is_one_line_that_the_shell_reads_as_the_words(text, tmp_path):
    if "\0" in text:
        pytest.skip("no command's word can hold it")
    line = escapes.shell(["printf", "%s|", text, "b c", "d\udcff"])
    assert line.isprintable()
    bash = shutil.which("bash") or pytest.skip("needs bash")
    done = subprocess.run(
        [bash, "-c", line], capture_output=True, cwd=tmp_path, env=os.environ | {"LC_ALL": "C.UTF-8"}, check=True
    )
    assert done.stdout == b"|".join([text.encode(), b"b c", b"d\xff", b""])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", NASTY, ids=range(len(NASTY)))
def test_markdown_and_pages_have_no_markup_of_strangers(text):
    for found in (escapes.html(text), escapes.markdown(text)):
        assert found.isprintable()
    for found in (escapes.html(text), escapes.markdown(text)):
        assert not re.search(r"[<>]|&(?!amp;|lt;|gt;|quot;|#x27;)", found)
    assert not re.search(r"(?<!\\)(?:\\\\)*[`*|~\[\]$!#]", escapes.markdown(text))


def test_ordinary_names_are_left_as_they_are():
    for name in ("fashion_mnist", "cc-by-4.0", "My photos (2024), part 2", "été", "0.1.0+local"):
        assert escapes.markdown(name) == name
        assert escapes.html(name) == name
    assert escapes.shell(["kvae", "train", "--data", "my photos"]) == "kvae train --data 'my photos'"
    assert escapes.html("a 'b' \"c\"") == "a &#x27;b&#x27; &quot;c&quot;"
