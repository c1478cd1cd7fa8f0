"""`--config FILE.toml`: options of a command from a file; those of the command line take precedence.

The keys are the names of the options. Click takes the values as it takes defaults, in `Context.default_map`.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from kvae.cli.options import PATH
from kvae.config import check_setting
from kvae.errors import ConfigError
from kvae.families import suggestion
from kvae.files.text import printable

MAX_BYTES = 1_000_000
"""A larger file is not read: it would not be one of settings."""
ASIDE = ("config_file", "resume", "dry_run", "as_json")
"""The options that a file cannot have: what is done with the settings, and not what they are."""
_FILE = "kvae.cli.config_file"


def _load(context: click.Context, _: click.Parameter, path: Path | None) -> None:
    if path is None or context.resilient_parsing:
        return
    context.meta[_FILE] = path
    context.default_map = read(path, context)


config_option = click.option(
    "--config",
    "config_file",
    metavar="FILE.toml",
    type=PATH,
    is_eager=True,
    expose_value=False,
    callback=_load,
    help='Take options from a TOML file, such as latent_dim = 32 and recipe = "fashion_mnist_vae". Options of the '
    "command line take precedence.",
)


@contextlib.contextmanager
def named_in_errors(context: click.Context) -> Iterator[None]:
    """Say in an error about settings that some of them are from a file, if they are."""
    try:
        yield
    except ConfigError as error:
        if _FILE not in context.meta:
            raise
        raise ConfigError(f"{error} Some settings come from {printable(context.meta[_FILE])}.") from None


def path_of(context: click.Context) -> Path | None:
    """The file that options of a command are from."""
    found: Path | None = context.meta.get(_FILE)
    return found


def read(path: Path, context: click.Context) -> dict[str, Any]:
    """The values of a file, by the names of a command's parameters.

    Args:
        path: the file.
        context: of the command whose options the file has.

    Raises:
        ConfigError: the file cannot be read or is not TOML, or it has an unknown key or a value that the option cannot
            have.
    """
    where = printable(path)
    options = {
        name.removeprefix("--").replace("-", "_"): option
        for option in context.command.params
        if isinstance(option, click.Option) and option.name not in ASIDE
        for name in option.opts
    }
    found: dict[str, Any] = {}
    for key, value in _parsed(path).items():
        option = options.get(key.replace("-", "_"))
        if option is None or option.name is None:
            near = suggestion(key.replace("-", "_"), options)
            raise ConfigError(f"{where}: '{printable(key, 60)}' is not an option that a file can have.{near}")
        if option.name in found:
            raise ConfigError(f"{where}: {printable(key, 60)} appears twice, once with - and once with _. Keep one.")
        found[option.name] = _value(value, option, f"{where}: {key}", context)
    return found


def _parsed(path: Path) -> dict[str, Any]:
    import tomllib  # needed only if there is a file

    from kvae.files.regular import open_regular

    try:
        with open_regular(path) as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise ValueError(f"it has more than {MAX_BYTES:,} bytes")
        return tomllib.loads(content.decode())
    except OSError as error:
        raise ConfigError(f"--config {printable(path)} cannot be read: {error.strerror or error}.") from None
    except (ValueError, RecursionError) as error:  # of TOML, and of UTF-8
        raise ConfigError(f"{printable(path)} is not TOML: {printable(error)}.") from None


def _value(value: Any, option: click.Option, where: str, context: click.Context) -> Any:
    wanted, kinds = _kind(option)
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        raise ConfigError(f"{where} must be {wanted}; got {_shown(value)}.")
    try:
        settled = option.type.convert(value if isinstance(value, bool) else str(value), option, context)
        check_setting(str(option.name), settled)
    except click.UsageError as error:
        raise ConfigError(f"{where}: {error.message}") from None
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None
    return value


def _kind(option: click.Option) -> tuple[str, tuple[type, ...]]:
    """What the value of an option must be in TOML."""
    if option.is_flag:
        return "true or false", (bool,)
    if isinstance(option.type, click.types.IntParamType):
        return "an integer", (int,)
    if isinstance(option.type, click.types.FloatParamType):
        return "a number", (int, float)
    if option.type is click.STRING:
        return "text in quotes", (str, int)  # as for image_size = 28
    return "text in quotes", (str,)


def _shown(value: Any) -> str:
    kinds = {bool: "true or false", str: "text", int: "an integer", float: "a number", list: "a list", dict: "a table"}
    return f"{printable(value, 60)} ({kinds.get(type(value), type(value).__name__)})"
