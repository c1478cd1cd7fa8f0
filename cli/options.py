"""click options made from the fields of a config dataclass: name, default, type and help are written there, once."""

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import click


def config_options(*configs: type) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator that adds one option per field of each config. Ranges are the config's own to check."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        settings = [item for config in configs for item in fields(config) if "help" in item.metadata]
        for item in reversed(settings):
            choices = item.metadata["choices"]
            kind: Any = click.Choice(choices) if choices else int if item.default is None else type(item.default)
            command = click.option(
                f"--{item.name.replace('_', '-')}",
                type=kind,
                default=item.default,
                show_default=item.default is not None,
                help=item.metadata["help"],
            )(command)
        return command

    return decorate


def given(context: click.Context, settings: dict[str, Any]) -> dict[str, Any]:
    """Those of a command's settings that the user wrote, without the defaults."""
    return {
        name: value
        for name, value in settings.items()
        if context.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT
    }
