"""Strangers' words, as they can be shown: one line, that nothing in a terminal or a page obeys."""

MAX_LENGTH = 200


def printable(text: object, limit: int = MAX_LENGTH) -> str:
    """Anybody's words in one line, for a message: white space folded, unprintable characters as "?", cut at `limit`.

    Escape sequences, ends of lines, marks that turn the direction of writing (U+202E), halves of surrogate pairs: none
    of them is printable.
    """
    line = " ".join(str(text).split())[:limit]
    return "".join(sign if sign.isprintable() else "?" for sign in line)


def shown(name: str) -> str:
    """A name as it can be printed in a line and written as UTF-8: what is not printable is escaped, as Python does."""
    if name.isprintable():
        return name
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in name)
