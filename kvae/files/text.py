"""Untrusted text made safe to show: one line, without control characters for a terminal or a page."""

MAX_LENGTH = 200


def printable(text: object, limit: int = MAX_LENGTH) -> str:
    """Any text as one line for a message: white space collapsed, unprintable characters as "?", cut at `limit`.

    Escape sequences, line breaks, marks that change the direction of writing (U+202E) and halves of surrogate pairs
    are not printable.
    """
    line = " ".join(str(text).split())[:limit]
    return "".join(sign if sign.isprintable() else "?" for sign in line)


def shown(name: str) -> str:
    """A name that can be printed in one line and written as UTF-8: unprintable characters are escaped as in Python."""
    if name.isprintable():
        return name
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in name)


def shortened(text: str, length: int) -> str:
    """Text of at most `length` characters, cut in the middle, because the ends of names tell them apart."""
    if len(text) <= length:
        return text
    tail = length // 2
    return f"{text[: length - tail - 1]}…{text[len(text) - tail :]}"
