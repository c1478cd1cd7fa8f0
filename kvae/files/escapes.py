"""Text of strangers where it could mean more than itself: one function for each place that it is shown in.

A name, a licence or a message may come from anyone's file. `kvae.files.text` makes it one harmless line for a terminal;
here it becomes a part of a page, a model card, its front matter, or a command. Characters that are not printed, such as
line breaks, escape sequences and marks of the direction of writing, become visible in each of them.
"""

import html as standard_html
import json
import re
import shlex
from collections.abc import Iterable

from kvae.files.text import shown

ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
MARKUP = re.compile(r"[\\`*\[\]|~$!#]|(?<!\w)_|_(?!\w)|:(?=//)|(?<=www)\.", re.IGNORECASE)
"""What Markdown, with GitHub's tables, links and formulas, gives a meaning to in the middle of a line; an underscore
inside a word has none."""


def html(text: str) -> str:
    """Text for a page, between tags or in an attribute in quotes."""
    return standard_html.escape(shown(text))


def markdown(text: str) -> str:
    """Text for a line of Markdown, or for a cell of its tables."""
    return MARKUP.sub(lambda found: "\\" + found[0], shown(text).translate(ENTITIES))


def yaml(text: str) -> str:
    """Text as a YAML string in double quotes, which is JSON's."""
    return json.dumps(shown(text), ensure_ascii=False)  # YAML reads JSON's pairs of surrogates as two characters


def shell(words: Iterable[str]) -> str:
    """The command with these words, in one line for bash or zsh."""
    return " ".join(shlex.quote(word) if word.isprintable() else f"$'{''.join(map(_escaped, word))}'" for word in words)


def _escaped(sign: str) -> str:
    """A character between `$'` and `'`."""
    code = ord(sign)
    if sign in "'\\":
        return "\\" + sign
    if sign.isprintable():
        return sign
    if 0xDC80 <= code <= 0xDCFF:  # a byte of a file's name that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
