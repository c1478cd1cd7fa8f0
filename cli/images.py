"""The verbs that run the user's images, or codes, through a model. None of them needs TensorFlow."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from kvae.cli import labels
from kvae.cli.bulk import encode_or_score, engine_option
from kvae.cli.destination import destination
from kvae.cli.help import command
from kvae.cli.options import PATH, device_option, json_option, model_option, threads_option
from kvae.cli.running import FORMATS, open_model, out_option, reading_options, report, scale_option
from kvae.cli.terminal import shown
from kvae.config import TrainConfig
from kvae.files.reading import Reading

images_argument = click.argument("images", metavar="IMAGES...", nargs=-1, required=True, type=PATH)
max_bad_option = click.option(
    "--max-bad",
    type=click.IntRange(0),
    default=TrainConfig.max_bad,
    show_default=True,
    help="Maximum number of pictures to skip because they cannot be used; more are an error.",
)
NO_NAMES = "A .npy could not say which row is missing: write an .npz, which has names, a .png or a folder."


@command(
    examples=[
        "kvae reconstruct photo.png --resize",
        "kvae reconstruct pngs --model runs/first --out reconstructions.npz",
    ]
)
@images_argument
@model_option
@out_option("reconstructions.png", f"{FORMATS} A grid shows each image above its reconstruction.")
@labels.label_option()
@reading_options
@max_bad_option
@device_option
@threads_option
@json_option
def reconstruct(
    images: tuple[Path, ...],
    model: str | None,
    out: Path,
    label: str | None,
    resize: bool,
    reading: Reading,
    max_bad: int,
    device: str,
    as_json: bool,
) -> None:
    """Encode IMAGES and decode them again.

    The mean of each posterior is decoded. IMAGES are pictures, folders of pictures, .npy, .npz or idx files. An .npz
    and a folder say which image each reconstruction is of; a .npy cannot, so for it no picture is skipped.
    """
    from kvae.files import output
    from kvae.runtime import codes, labelling

    path, bundle = open_model(model, device, out, images)
    source = open_images(bundle, images, resize, reading, max_bad)
    known = labelling.OfStream(bundle, source, labels.of_images(bundle, source, label))
    with destination(out, ".npy") as target:
        if target.suffix.lower() == ".npy":
            source = replace(source, max_bad=0, advice=NO_NAMES)
        found = codes.reconstruct(bundle, shown(source.batches(), source.count, len_of_batch), known)
        output.write_reconstructions(found, source.count, bundle.manifest.image_shape, target, source.longest_name)
    report(out, model, path, as_json, source)


@command(
    examples=["kvae encode pngs --model runs/first --out codes.npz", "kvae encode test.npy --engine ray --out codes"]
)
@images_argument
@model_option
@out_option("codes.npz", "An .npz with loc and scale, both (n, latent_dim), and names; - prints it.")
@labels.label_option()
@reading_options
@max_bad_option
@engine_option
@device_option
@threads_option
@json_option
def encode(
    images: tuple[Path, ...],
    model: str | None,
    out: Path,
    label: str | None,
    resize: bool,
    reading: Reading,
    max_bad: int,
    engine: str,
    device: str,
    as_json: bool,
) -> None:
    """Encode IMAGES and write their posteriors to a file.

    IMAGES are pictures, folders of pictures, .npy, .npz or idx files. A picture that is skipped has no row; the array
    names says which image each row is of.
    """
    from kvae.runtime import codes

    if engine == "ray":
        encode_or_score("encode", model, images, out, label, resize, reading, max_bad, device, as_json)
        return
    path, bundle = open_model(model, device, out, images)
    source = open_images(bundle, images, resize, reading, max_bad)
    known = labels.of_images(bundle, source, label)
    with destination(out, ".npz") as target:
        codes.write(bundle, source, shown(source.batches(), source.count, len_of_batch), target, known)
    report(out, model, path, as_json, source)


@command(
    examples=["kvae decode codes.npz --model runs/first", "kvae decode codes.npz --model runs/first --out decoded.npy"]
)
@click.argument("codes_path", metavar="CODES", type=PATH)
@model_option
@out_option("decoded.png", FORMATS)
@labels.label_option(
    "For a conditional model: the label of all codes, by name or number. [default: those beside the codes, as kvae "
    "encode writes them]"
)
@scale_option
@device_option
@threads_option
@json_option
def decode(
    codes_path: Path,
    model: str | None,
    out: Path,
    label: str | None,
    scale: int | None,
    device: str,
    as_json: bool,
) -> None:
    """Decode codes to images.

    CODES is a .npy of shape (n, latent_dim), or an .npz with such an array named z or loc, as `kvae encode` writes it.
    """
    from kvae.files import output
    from kvae.runtime import codes

    path, bundle = open_model(model, device, out, [codes_path])
    found = codes.open_codes(codes_path, bundle.manifest.latent_dim)
    count = found.shape[0]
    if label is not None or not codes.has_labels(found):
        labels.required(bundle, label)
    with destination(out, ".npy") as target:
        decoded = shown(codes.decode(bundle, found, label), count, len)
        output.write(decoded, count, bundle.manifest.image_shape, target, scale=scale)
    report(out, model, path, as_json, count)


def len_of_batch(batch: Any) -> int:
    """The images in a `kvae.data.images.Batch`."""
    return len(batch.images)


def open_images(bundle: Any, paths: Sequence[Path], resize: bool, reading: Reading, max_bad: int) -> Any:
    """The images of files and folders, as the model reads them; see `kvae.data.images.open_for`."""
    from kvae.data.images import open_for

    return open_for(bundle.manifest, paths, resize, reading, max_bad)
