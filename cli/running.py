"""What the verbs share that run a user's images, or codes, through a model."""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from kvae.cli.destination import STDOUT, Out, check_apart
from kvae.cli.suggestions import Choice
from kvae.cli.terminal import tell_skipped, tell_which
from kvae.files import json_text
from kvae.files.reading import Reading

FORMATS = "A .png for a grid, .npy or .npz for numbers, a folder for one PNG per image; - prints a .npy."


def out_option(default: str, text: str) -> Any:
    """The option --out."""
    return click.option("--out", type=Out(stdout=True), default=default, show_default=True, help=text)


scale_option = click.option(
    "--scale",
    type=int,
    help="Enlarge pictures by this factor, each pixel to a square. [default: a grid is made large enough to see; the "
    "PNGs of a folder have the model's pixels]",
)


def reading_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say how images are read; the command gets them as `resize` and `reading`."""

    @click.option(
        "--resize",
        is_flag=True,
        help="Resize images to the model's size and channels; other aspect ratios are centre-cropped.",
    )
    @click.option("--alpha", type=Choice(["white", "black"]), help="Background colour for transparent pictures.")
    @click.option(
        "--levels", metavar="MIN:MAX", help="In images of more than 8 bits, the levels that become black and white."
    )
    @functools.wraps(command)
    def with_reading(*args: Any, alpha: str | None, levels: str | None, **settings: Any) -> Any:
        return command(*args, reading=Reading.of(alpha, levels), **settings)

    return with_reading


def open_model(
    model: str | None, device: str, out: Path | None, inputs: Sequence[Path], threads: int = 0
) -> tuple[Path, Any]:
    """The model's path and its bundle, after a look at whether writing `out` would destroy an input."""
    from kvae.bundle.locate import locate
    from kvae.runtime.bundle import Bundle

    path = locate(model)
    check_apart(out, inputs, path)
    return path, Bundle.open(path, device, threads)


def report(out: Path, model: str | None, path: Path, as_json: bool, made: Any, **more: Any) -> None:
    """Say what was made: a number of images, or those that a stream did not skip."""
    skipped = [] if isinstance(made, int) else made.skipped
    count = made if isinstance(made, int) else made.count - len(skipped)
    if not isinstance(made, int):
        tell_skipped(skipped, made.count)
        more |= {"skipped": [bad._asdict() for bad in skipped]}
    tell_which(model, path)
    if out != STDOUT:
        values = {"out": str(out), "n": count, "model": str(path), **more}
        click.echo(json_text.dumps(values) if as_json else str(out))
