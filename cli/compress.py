"""`kvae compress` and `kvae decompress`: images as few bits as a model gives them, and back."""

from pathlib import Path
from typing import Any

import click

from kvae.cli import labels, terminal
from kvae.cli.destination import Out, check_apart
from kvae.cli.help import command
from kvae.cli.images import images_argument, open_images
from kvae.cli.options import PATH, json_option, model_option
from kvae.cli.running import open_model, reading_options
from kvae.cli.suggestions import Choice
from kvae.files import json_text
from kvae.files.reading import Reading

CODINGS = ("bits-back", "cross-entropy")
"""Those of `kvae.compression.coder`, which a test compares: importing it would load numpy for --help."""


@command(
    examples=[
        "kvae compress pngs --model runs/own --out pngs.kvz",
        "kvae compress test.npy --model runs/own --portable",
    ],
    own={"Compression": ("coding", "portable", "batch")},
)
@images_argument
@model_option
@click.option("--out", type=Out(), default="images.kvz", show_default=True, help="The file to write, a .kvz.")
@click.option(
    "--coding",
    type=Choice(CODINGS),
    default=CODINGS[0],
    show_default=True,
    help="cross-entropy: the same without bits back, to compare; each code costs H(q, p), not the KL.",
)
@click.option(
    "--portable",
    is_flag=True,
    help="Say where rounding was close, so that other processors can decode the file; it becomes larger.",
)
@click.option(
    "--batch",
    type=click.IntRange(1, 256),
    help="Images in each call of a graph. [default: 32, fewer if they are large]",
)
@labels.label_option()
@reading_options
@json_option
def compress(
    images: tuple[Path, ...],
    model: str | None,
    out: Path,
    coding: str,
    portable: bool,
    batch: int | None,
    label: str | None,
    resize: bool,
    reading: Reading,
    as_json: bool,
) -> None:
    """Compress IMAGES without loss, by what a model knows.

    Exactly their pixels come back. MODEL is one of 8-bit images (--likelihood discretized_logistic) or of bits. The
    file holds neither the model, which is needed to decompress it, nor names, so no picture is skipped. IMAGES are
    pictures, folders of pictures, .npy, .npz or idx files.
    """
    from kvae import compression
    from kvae.compression import report

    path, bundle = open_model(model, "cpu", out, images, threads=1)
    stream = open_images(bundle, images, resize, reading, max_bad=0)
    compression.check(bundle, stream)
    known = labels.of_images(bundle, stream, label)
    progress = terminal.counter("compressing")
    found = compression.compress(bundle, stream, out, coding, portable, known, batch, progress)
    terminal.tell_which(model, path)
    values: dict[str, Any] = {"out": str(out), "model": str(path), **found.as_dict()}
    click.echo(json_text.dumps(values) if as_json else terminal.wrapped(report.text(out, found), terminal.width()))


@command(
    examples=[
        "kvae decompress pngs.kvz --model runs/own --out back",
        "kvae decompress pngs.kvz --model runs/own --out back.npy",
    ]
)
@click.argument("file", metavar="FILE.kvz", type=PATH)
@model_option
@click.option(
    "--out", type=Out(), default="decompressed", show_default=True, help="A folder for one PNG per image, or a .npy."
)
@json_option
def decompress(file: Path, model: str | None, out: Path, as_json: bool) -> None:
    """Write the images of a file that kvae compress made.

    MODEL is the one that FILE.kvz was made with. The pixels are exact, or nothing is written.
    """
    from kvae import compression
    from kvae.bundle.locate import locate

    path = locate(model)
    check_apart(out, [file], path)
    count = compression.decompress(file, path, out, terminal.counter("decompressing"))
    terminal.tell_which(model, path)
    values = {"out": str(out), "n": count, "model": str(path)}
    click.echo(json_text.dumps(values) if as_json else str(out))
