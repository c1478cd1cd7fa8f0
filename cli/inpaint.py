"""`kvae inpaint`: pixels that are missing, drawn given those that are seen. It does not need TensorFlow."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from kvae.cli import labels
from kvae.cli.destination import destination
from kvae.cli.help import command
from kvae.cli.images import NO_NAMES, images_argument, max_bad_option
from kvae.cli.options import PATH, device_option, json_option, model_option, threads_option
from kvae.cli.running import open_model, out_option, reading_options, report
from kvae.cli.terminal import shown, tell
from kvae.files.reading import Reading


class BoxType(click.ParamType):
    """Four whole numbers with commas between them."""

    name = "left,top,width,height"

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> Any:
        try:
            left, top, width, height = (int(number) for number in str(value).split(","))
        except ValueError:
            self.fail(f"expected LEFT,TOP,WIDTH,HEIGHT in pixels, such as 0,14,28,14; got '{value}'.", param)
        from kvae.data.masks import Box

        return Box(left, top, width, height)


@command(
    examples=[
        "kvae inpaint photo.png --box 0,14,28,14 --model my_bundle",
        "kvae inpaint pngs --mask mask.png --model my_bundle --n 20 --out draws.npz",
    ],
    own={"Drawing": ("mask", "box", "n", "steps", "burn_in", "seed")},
)
@images_argument
@click.option(
    "--mask",
    type=PATH,
    help="A picture or array that is white (255, 1, True) where pixels are missing, for all IMAGES; or an array, or a "
    "folder of pictures of the same names, with one for each.",
)
@click.option("--box", metavar="LEFT,TOP,WIDTH,HEIGHT", type=BoxType(), help="A rectangle that is missing, in pixels.")
@click.option("--n", "n", type=int, default=8, show_default=True, help="Draws of each image.")
@click.option("--steps", type=int, default=200, show_default=True, help="Sweeps of each chain that are kept.")
@click.option("--burn-in", type=int, default=100, show_default=True, help="Sweeps before them that are not.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed; the draws of image i depend on (seed, i).")
@model_option
@out_option(
    "inpainted.png",
    "A .png with a row of each image: what is seen, the draws, their mean; a .npy of the means; an .npz of all; or a "
    "folder of PNGs; - prints a .npy.",
)
@labels.label_option(
    "For a conditional model: the label of all IMAGES, by name or number. [default: their own, from folders named like "
    "the classes or the labels in an .npz]"
)
@reading_options
@max_bad_option
@device_option
@threads_option
@json_option
def inpaint(
    images: tuple[Path, ...],
    mask: Path | None,
    box: Any,
    n: int,
    steps: int,
    burn_in: int,
    seed: int,
    model: str | None,
    out: Path,
    label: str | None,
    resize: bool,
    reading: Reading,
    max_bad: int,
    device: str,
    as_json: bool,
) -> None:
    """Draw what is missing in IMAGES, given what is seen.

    Missing are the pixels of --mask or --box, those of pictures that are fully transparent (unless --alpha gives them a
    colour), and NaN in a .npy or .npz. They are drawn from p(missing | seen) of the model, by Metropolis-within-Gibbs;
    pixels that are seen stay exactly as they are. What is said at the end tells whether the chains have mixed. IMAGES
    are pictures, folders of pictures, .npy, .npz or idx files.
    """
    if mask is not None and box is not None:
        raise click.UsageError("--mask and --box both say what is missing; give one of them.")
    from kvae.data import images as streams
    from kvae.data import masks
    from kvae.files import completions
    from kvae.runtime import completing, inpainting

    settings = inpainting.Settings(n, steps, burn_in, seed)
    inpainting.check(settings)
    path, bundle = open_model(model, device, out, [*images, *([mask] if mask is not None else [])], threads=1)
    height, width, _ = bundle.manifest.image_shape
    source = streams.open_for(bundle.manifest, images, resize, reading._replace(holes=True), max_bad)
    missing = box and _everywhere(box.mask(height, width))
    if mask is not None:
        missing = masks.open_masks(mask, source, height, width)
    known = labels.of_images(bundle, source, label, whole=False)
    mixing = completing.Mixing()
    with destination(out, ".npy") as target:
        if target.suffix.lower() == ".npy":
            source = replace(source, max_bad=0, advice=NO_NAMES)
        made = completing.complete(bundle, source, source.batches(), settings, missing, known, mixing)
        numbers = completing.NUMBERS | ({} if bundle.labels is None else {"label": "<i8"})
        made = shown(made, source.count, lambda batch: len(batch.names))
        completions.write(made, source.count, n, bundle.manifest.image_shape, target, source.longest_name, numbers)
    tell(mixing.as_text())
    report(out, model, path, as_json, source, draws=n, seed=seed, **mixing.as_dict())


def _everywhere(mask: Any) -> Any:
    return lambda position: mask
