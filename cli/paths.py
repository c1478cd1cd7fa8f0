"""The verbs that draw paths through the space of codes. Neither needs TensorFlow."""

from pathlib import Path

import click

from kvae.cli import labels
from kvae.cli.destination import destination
from kvae.cli.help import command
from kvae.cli.options import PATH, device_option, json_option, model_option, threads_option
from kvae.cli.running import FORMATS, open_model, out_option, reading_options, report, scale_option
from kvae.files.reading import Reading

ROUTES = ("sphere", "line")
"""Those of `kvae.runtime.paths`, here so that --help loads no runtime."""


@command(
    examples=[
        "kvae interpolate --from shirt.png --to boot.png",
        "kvae interpolate --from a.png --to b.png --steps 100 --out path.npy",
    ],
    own={"Path": ("one", "other", "steps", "route")},
)
@click.option("--from", "one", metavar="IMAGE", type=PATH, required=True, help="The first image.")
@click.option("--to", "other", metavar="IMAGE", type=PATH, required=True, help="The last image.")
@click.option("--steps", type=int, default=10, show_default=True, help="Number of images, including both ends.")
@click.option(
    "--path",
    "route",
    type=click.Choice(ROUTES),
    default=ROUTES[0],
    show_default=True,
    help="The way between the two codes: the great circle around 0, which keeps their distance from it, or the "
    "straight line.",
)
@model_option
@out_option("interpolation.png", f"{FORMATS} A .png is a strip.")
@labels.label_option(
    "For a conditional model: the label of both images, by name or number; or best, for each the one with the highest "
    "ELBO. [default: the names of the folders that they lie in] If they differ, it changes half way."
)
@scale_option
@reading_options
@device_option
@threads_option
@json_option
def interpolate(
    one: Path,
    other: Path,
    steps: int,
    route: str,
    model: str | None,
    out: Path,
    label: str | None,
    scale: int | None,
    resize: bool,
    reading: Reading,
    device: str,
    as_json: bool,
) -> None:
    """Draw the path from one image to another.

    Decodes codes on the way between the means of their posteriors.
    """
    from kvae.files import output
    from kvae.runtime import paths

    path, bundle = open_model(model, device, out, [one, other])
    known = labels.of_files(bundle, [one, other], resize, reading, label)
    found = paths.between(bundle, one, other, steps, resize, reading, known, route)
    with destination(out, ".npy") as target:
        output.write([found], steps, bundle.manifest.image_shape, target, columns=steps, scale=scale)
    report(out, model, path, as_json, steps)


@command(
    examples=[
        "kvae traverse --model runs/first",
        "kvae traverse --image shirt.png --steps 7 --reach 2 --out shirt_dims.png",
    ],
    own={"Traversal": ("image", "steps", "reach")},
)
@click.option("--image", metavar="IMAGE", type=PATH, help="Vary the code of this image. [default: the prior's mean]")
@click.option("--steps", type=int, default=11, show_default=True, help="Number of values per dimension.")
@click.option(
    "--reach", type=float, default=3.0, show_default=True, help="Vary from -REACH to REACH prior standard deviations."
)
@model_option
@out_option("traversal.png", "A .png with one row per latent dimension, highest rate first; - prints it.")
@labels.label_option(
    "For a conditional model: what to draw, by name or number; with --image also best, the one with its highest ELBO. "
    "[default: the name of the folder that IMAGE lies in]"
)
@reading_options
@device_option
@threads_option
@json_option
def traverse(
    image: Path | None,
    steps: int,
    reach: float,
    model: str | None,
    out: Path,
    label: str | None,
    resize: bool,
    reading: Reading,
    device: str,
    as_json: bool,
) -> None:
    """Draw what each latent dimension does.

    Each dimension gets a row of images in which only it varies.
    """
    from kvae.runtime import paths

    path, bundle = open_model(model, device, out, [image] if image else [])
    own = [image] if image else []
    known = labels.of_files(bundle, own, resize, reading, label) if own else labels.required(bundle, label)
    with destination(out, ".png") as target:
        order = paths.draw_traversal(bundle, image, steps, reach, target, resize, reading, known)
    report(out, model, path, as_json, len(order) * steps, dimensions=order)
