"""Options made from the fields of a config, which hold their help texts too."""

from collections.abc import Callable, Collection
from dataclasses import fields
from typing import Any

import click

from kvae.cli import complete
from kvae.cli.suggestions import Choice
from kvae.config import PATHS, REGULARIZERS, kind_of

regularizer_option = click.option(
    "--regularizer",
    type=Choice(list(REGULARIZERS)),
    help="A name for a special case of the loss: kl is --entropy-weight 1, cross-entropy is --entropy-weight 0, none "
    "is --beta 0.",
)


COMPLETE = {"dataset": complete.datasets, "init_from": complete.runs} | dict.fromkeys(PATHS, complete.files)
"""What the shell offers for the values of a setting."""


def config_options(
    *configs: type, only: Collection[str] | None = None
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator that adds one option per field of each config, or per field named in `only`.

    The config itself checks the ranges.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        settings = [item for config in configs for item in fields(config) if "help" in item.metadata]
        settings = [item for item in settings if only is None or item.name in only]
        settings = [item for item in settings if item.metadata["choices"] is None or len(item.metadata["choices"]) > 1]
        for item in reversed(settings):
            choices, kind = item.metadata["choices"], kind_of(item)
            command = click.option(
                f"--{item.name.replace('_', '-')}",
                type=Choice(list(choices)) if choices else kind,
                is_flag=kind is bool,
                default=item.default,
                show_default=item.default is not None and kind is not bool,
                metavar="PATH" if item.name in PATHS else "RUN" if item.name == "init_from" else None,
                shell_complete=COMPLETE.get(item.name),
                help=item.metadata["help"],
            )(command)
        return command

    return decorate


def given(context: click.Context, settings: dict[str, Any]) -> dict[str, Any]:
    """The settings of a command that the user gave, without the defaults."""
    return {
        name: value
        for name, value in settings.items()
        if context.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT
    }
