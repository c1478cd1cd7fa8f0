"""The verbs that run the user's images, or codes, through a model. None of them needs TensorFlow."""

import functools
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from kvae.cli.bulk import encode_or_score, engine_option
from kvae.cli.options import PATH, device_option, json_option, model_option
from kvae.cli.terminal import shown, tell_which
from kvae.errors import KvaeError
from kvae.files import json_text
from kvae.files.reading import Reading

images_argument = click.argument("images", metavar="IMAGES...", nargs=-1, required=True, type=PATH)


def reading_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say how images are read; the command gets them as `resize` and `reading`."""

    @click.option(
        "--resize",
        is_flag=True,
        help="Resize images to the model's size and channels; other aspect ratios are centre-cropped.",
    )
    @click.option("--alpha", type=click.Choice(["white", "black"]), help="Background colour for transparent pictures.")
    @click.option(
        "--levels", metavar="MIN:MAX", help="In images of more than 8 bits, the levels that become black and white."
    )
    @functools.wraps(command)
    def with_reading(*args: Any, alpha: str | None, levels: str | None, **settings: Any) -> Any:
        return command(*args, reading=Reading.of(alpha, levels), **settings)

    return with_reading


FORMATS = "A .png for a grid, .npy or .npz for numbers, a folder for one PNG per image."


def out_option(default: str, text: str) -> Any:
    """The option --out."""
    return click.option("--out", type=PATH, default=default, show_default=True, help=text)


@click.command()
@images_argument
@model_option
@out_option("reconstructions.png", f"{FORMATS} A grid shows each image above its reconstruction.")
@reading_options
@device_option
@json_option
def reconstruct(
    images: tuple[Path, ...], model: str | None, out: Path, resize: bool, reading: Reading, device: str, as_json: bool
) -> None:
    """Encode IMAGES and decode them again.

    The mean of each posterior is decoded. IMAGES are pictures, folders of pictures, .npy, .npz or idx files.
    """
    from kvae.files import output
    from kvae.runtime import codes

    check_apart(out, images)
    path, bundle, source = _open(model, device, images, resize, reading)
    pairs = codes.reconstruct(bundle, shown(source.batches(), source.count, len_of_batch))
    output.write_reconstructions(pairs, source.count, bundle.manifest.image_shape, out)
    _report(out, source.count, model, path, as_json)


@click.command()
@images_argument
@model_option
@out_option("codes.npz", "An .npz with loc and scale, both (n, latent_dim), and names.")
@reading_options
@engine_option
@device_option
@json_option
def encode(
    images: tuple[Path, ...],
    model: str | None,
    out: Path,
    resize: bool,
    reading: Reading,
    engine: str,
    device: str,
    as_json: bool,
) -> None:
    """Encode IMAGES and write their posteriors to a file.

    IMAGES are pictures, folders of pictures, .npy, .npz or idx files.
    """
    from kvae.runtime import codes

    check_apart(out, images)
    if engine == "ray":
        encode_or_score("encode", model, images, out, resize, reading, device, as_json)
        return
    path, bundle, source = _open(model, device, images, resize, reading)
    codes.write(bundle, source, shown(source.batches(), source.count, len_of_batch), out)
    _report(out, source.count, model, path, as_json)


@click.command()
@click.argument("codes_path", metavar="CODES", type=PATH)
@model_option
@out_option("decoded.png", FORMATS)
@device_option
@json_option
def decode(codes_path: Path, model: str | None, out: Path, device: str, as_json: bool) -> None:
    """Decode codes to images.

    CODES is a .npy of shape (n, latent_dim), or an .npz with such an array named z or loc, as `kvae encode` writes it.
    """
    from kvae.files import output
    from kvae.runtime import codes

    check_apart(out, [codes_path])
    path, bundle = _open_model(model, device)
    found = codes.open_codes(codes_path, bundle.manifest.latent_dim)
    count = found.shape[0]
    output.write(shown(codes.decode(bundle, found), count, len), count, bundle.manifest.image_shape, out)
    _report(out, count, model, path, as_json)


@click.command()
@images_argument
@model_option
@click.option("--out", type=PATH, help="Write to this .csv instead of stdout.")
@reading_options
@engine_option
@device_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per image, each on its own line.")
def score(
    images: tuple[Path, ...],
    model: str | None,
    out: Path | None,
    resize: bool,
    reading: Reading,
    engine: str,
    device: str,
    as_json: bool,
) -> None:
    """Score IMAGES by their ELBO: low is anomalous.

    The ELBO is in nats; its percentile is relative to the training images. IMAGES are pictures, folders of pictures,
    .npy, .npz or idx files.
    """
    from kvae.runtime import scores

    check_apart(out, images)
    if engine == "ray":
        encode_or_score("score", model, images, out, resize, reading, device, as_json)
        return
    path, bundle, source = _open(model, device, images, resize, reading, threads=1)
    printed = out is None and sys.stdout.isatty()
    batches = shown(scores.score(bundle, source), source.count, len, hidden=printed)
    if out is not None:
        scores.write_csv(batches, out)
        _report(out, source.count, model, path, as_json)
        return
    heading = None if as_json else scores.HEADING
    for batch in batches:
        rows = (json_text.dumps(row._asdict(), None) if as_json else row.as_text() for row in batch)
        click.echo("\n".join([heading, *rows] if heading else rows))
        heading = None  # printed with the first batch, so that an unreadable image leaves one line
    if bundle.manifest.scoring is None:
        click.echo("no percentiles: this bundle has no statistics of its training images. Export it again.", err=True)
    tell_which(model, path)


@click.command()
@click.option("--from", "one", metavar="IMAGE", type=PATH, required=True, help="The first image.")
@click.option("--to", "other", metavar="IMAGE", type=PATH, required=True, help="The last image.")
@click.option("--steps", type=int, default=10, show_default=True, help="Number of images, including both ends.")
@model_option
@out_option("interpolation.png", "A .png for a strip, .npy or .npz for numbers, a folder for one PNG per image.")
@reading_options
@device_option
@json_option
def interpolate(
    one: Path,
    other: Path,
    steps: int,
    model: str | None,
    out: Path,
    resize: bool,
    reading: Reading,
    device: str,
    as_json: bool,
) -> None:
    """Draw the path from one image to another.

    Decodes codes on the straight line between the means of their posteriors.
    """
    from kvae.files import output
    from kvae.runtime import paths

    check_apart(out, [one, other])
    path, bundle = _open_model(model, device)
    found = bundle.decode(paths.interpolate(*paths.ends(bundle, one, other, resize, reading), steps))
    output.write([found], steps, bundle.manifest.image_shape, out, columns=steps)
    _report(out, steps, model, path, as_json)


@click.command()
@click.option("--image", metavar="IMAGE", type=PATH, help="Vary the code of this image. [default: the prior's mean]")
@click.option("--steps", type=int, default=11, show_default=True, help="Number of values per dimension.")
@click.option(
    "--reach", type=float, default=3.0, show_default=True, help="Vary from -REACH to REACH prior standard deviations."
)
@model_option
@out_option("traversal.png", "A .png with one row per latent dimension, highest rate first.")
@reading_options
@device_option
@json_option
def traverse(
    image: Path | None,
    steps: int,
    reach: float,
    model: str | None,
    out: Path,
    resize: bool,
    reading: Reading,
    device: str,
    as_json: bool,
) -> None:
    """Draw what each latent dimension does.

    Each dimension gets a row of images in which only it varies.
    """
    from kvae.runtime import paths

    check_apart(out, [image] if image else [])
    path, bundle = _open_model(model, device)
    order = paths.draw_traversal(bundle, image, steps, reach, out, resize, reading)
    _report(out, len(order) * steps, model, path, as_json, dimensions=order)


def len_of_batch(batch: Any) -> int:
    """The images in a `kvae.data.images.Batch`."""
    return len(batch.images)


def check_apart(out: Path | None, inputs: Sequence[Path]) -> None:
    """Raise KvaeError if the output would replace one of the inputs."""
    if out is not None and out.resolve() in {path.resolve() for path in inputs}:
        raise KvaeError(f"{out} is an input, and would be overwritten. Choose another --out.")


def _open_model(model: str | None, device: str, threads: int = 0) -> tuple[Path, Any]:
    from kvae.bundle.locate import locate
    from kvae.runtime.bundle import Bundle

    path = locate(model)
    return path, Bundle.open(path, device, threads)


def _open(
    model: str | None, device: str, paths: Sequence[Path], resize: bool, reading: Reading, threads: int = 0
) -> tuple[Path, Any, Any]:
    from kvae.data.images import open_images

    path, bundle = _open_model(model, device, threads)
    return path, bundle, open_images(paths, bundle.manifest.image_shape, resize, reading)


def _report(out: Path, count: int, model: str | None, path: Path, as_json: bool, **more: Any) -> None:
    tell_which(model, path)
    click.echo(
        json_text.dumps({"out": str(out), "n": count, "model": str(path), **more}, None) if as_json else str(out)
    )
