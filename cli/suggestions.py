"""What a user may have meant by a verb, an option or a value that does not exist."""

from collections.abc import Iterable
from typing import Any

import click

from kvae.families import nearest, suggestion

ELSEWHERE = {
    "generate": "sample", "draw": "sample", "test": "evaluate", "list": "runs", "ls": "runs", "plot": "explore",
    "detect": "score", "convert": "export", "resume": "train --resume", "impute": "inpaint",
}  # fmt: skip
"""What other programs call things, and kvae's verbs for them."""
VALUES = {"gpu": "cuda"}
"""The same for values; by their letters, gpu would be nearest to cpu."""
MIN_RATIO = 0.6
"""How alike a verb or an option must be to be suggested: 1 for equal, as `difflib` measures it."""


class Choice(click.Choice[str]):
    """One of some words; for another, an error that suggests the nearest."""

    def get_invalid_choice_message(self, value: Any, ctx: click.Context | None) -> str:
        """The message about a value that is none of the words."""
        word = str(value)
        near = suggestion(VALUES.get(word, word), self.choices)
        return f"{super().get_invalid_choice_message(value, ctx)}{near}"


def unknown_verb(name: str, verbs: Iterable[str]) -> str:
    """The message about a verb that does not exist."""
    near = ELSEWHERE.get(name.casefold()) or _nearest(name, verbs)
    return f"No such command '{name}'." + (f" Did you mean 'kvae {near}'?" if near else "")


def message(error: click.UsageError) -> str:
    """What an error says; of an option that does not exist, with the one that may have been meant."""
    if isinstance(error, click.NoSuchOption) and error.ctx is not None:
        options = [name for option in error.ctx.command.get_params(error.ctx) for name in option.opts if name[0] == "-"]
        near = _nearest_option(error.option_name, [name for name in options if name.startswith("--")])
        return f"No such option '{error.option_name}'." + (f" Did you mean '{near}'?" if near else "")
    text = error.format_message()
    return text if text.endswith((".", "?")) else f"{text}."


def _nearest_option(name: str, options: list[str]) -> str | None:
    words = {option.lstrip("-"): option for option in options}
    word = name.lstrip("-").replace("_", "-")
    initials = [option for known, option in words.items() if "".join(part[:1] for part in known.split("-")) == word]
    if len(word) > 1 and len(initials) == 1:  # as other programs have it: --lr
        return initials[0]
    found = _nearest(word, words)
    return words[found] if found else None


def _nearest(name: str, names: Iterable[str]) -> str | None:
    import difflib  # here, because it is needed only for an error

    found = nearest(name, names)
    alike = found and difflib.SequenceMatcher(None, found.casefold(), name.casefold()).ratio() >= MIN_RATIO
    return found if alike else None
