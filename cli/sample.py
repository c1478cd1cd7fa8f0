"""`kvae sample`: images drawn from a model."""

from functools import partial
from pathlib import Path
from typing import Any

import click

from kvae.cli import bulk, labels, terminal
from kvae.cli.destination import STDOUT, check_apart, destination
from kvae.cli.help import command
from kvae.cli.options import device_option, json_option, model_option, threads_option
from kvae.cli.running import FORMATS, out_option, scale_option
from kvae.files import json_text


class Temperature(click.ParamType):
    """One number, or several with commas between them."""

    name = "number[,number...]"

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> float | list[float]:
        try:
            numbers = [float(number) for number in str(value).split(",")]
        except ValueError:
            self.fail(f"expected a number, or one for each group of a ladder, such as 1,0.7; got '{value}'.", param)
        return numbers if len(numbers) > 1 else numbers[0]


@command(
    examples=["kvae sample --n 64", "kvae sample --label sneaker --temperature 0.8 --seed 7 --out sneakers.png"],
    own={"Drawing": ("n", "label", "seed", "temperature", "draw")},
)
@click.option("--n", "n", type=int, default=64, show_default=True, help="Number of images.")
@labels.label_option(
    "For a conditional model: the class to draw, by name or number; all for a row per class, with --n images each. "
    "[default: as frequent as among the training images]"
)
@model_option
@out_option("samples.png", FORMATS)
@bulk.engine_option
@click.option("--seed", type=int, default=0, show_default=True, help="Seed; image i depends only on (seed, i).")
@click.option(
    "--temperature",
    type=Temperature(),
    default=1.0,
    show_default=True,
    help="Factor on the prior's standard deviation; for a ladder, also one for each group, from coarse to fine: 1,0.7.",
)
@click.option(
    "--draw",
    is_flag=True,
    help="Draw each pixel from the likelihood p(x|z), in place of its mean: less smooth, and what the model says that "
    "images are like; a model of bits draws bits. Refused for a Bernoulli model of grey intensities.",
)
@scale_option
@device_option
@threads_option
@json_option
def sample(
    n: int,
    label: str | None,
    model: str | None,
    out: Path,
    engine: str,
    seed: int,
    temperature: float | list[float],
    draw: bool,
    scale: int | None,
    device: str,
    as_json: bool,
) -> None:
    """Draw images from a model."""
    if engine == "ray":
        if draw:
            raise click.UsageError("--draw is not for --engine ray, which writes means.")
        if scale is not None:
            raise click.UsageError("--scale is not for --engine ray, whose pictures have the model's pixels.")
        bulk.sample(model, n, label, out, seed, temperature, device, as_json)
        return
    from kvae.bundle.locate import locate
    from kvae.files import output
    from kvae.runtime import class_labels
    from kvae.runtime.bundle import Bundle

    path = locate(model)
    check_apart(out, [], path)
    bundle = Bundle.open(path, device)
    rows, count = None, n
    given: Any = label
    if labels.is_all(bundle, label):
        given = class_labels.all_of(bundle.manifest, n)
        rows, count = bundle.labels, len(given)
    batches = terminal.shown(bundle.sample_batches(count, seed, temperature, label=given, draw=draw), count, len)
    known = None
    if bundle.labels is not None and out.suffix.lower() == ".npz":
        known = output.Labels(bundle.labels, partial(bundle.sample_labels, count, seed, label=given))
    with destination(out, ".npy") as target:
        output.write(batches, count, bundle.manifest.image_shape, target, rows=rows, labels=known, scale=scale)
    terminal.tell_which(model, path)
    if out == STDOUT:
        return
    report = {"out": str(out), "n": count, "seed": seed, "model": str(path), "device": bundle.device}
    report |= ({} if label is None else {"label": label}) | ({"draw": True} if draw else {})
    click.echo(json_text.dumps(report) if as_json else str(out))
