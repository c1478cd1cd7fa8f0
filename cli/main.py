"""`kvae VERB`: each command parses, calls one library function and prints. Heavy imports stand inside the commands."""

import json
from pathlib import Path
from typing import Any

import click

from kvae import __version__, recipes
from kvae.cli import bulk, checks, images, terminal
from kvae.cli.bulk import engine_option
from kvae.cli.data import data as data_group
from kvae.cli.explore import explore
from kvae.cli.group import OneLineGroup
from kvae.cli.options import (
    PATH,
    config_options,
    device_option,
    given,
    json_option,
    model_option,
    strategy_option,
)
from kvae.cli.runs import runs
from kvae.config import REGULARIZERS, ModelConfig, TrainConfig

PRESETS = ["why-kl"]  # those of kvae.comparison.sweeps, which loads Keras
own_option = click.option(
    "--data", type=PATH, help="The images of your own that the model was trained on, where its run does not know."
)
data_dir_option = click.option("--data-dir", type=PATH, help="Folder with the data set's idx files.")
regularizer_option = click.option(
    "--regularizer",
    type=click.Choice(list(REGULARIZERS)),
    help="A name for a corner of the loss: kl is --entropy-weight 1, cross-entropy --entropy-weight 0, none --beta 0.",
)
recipe_option = click.option(
    "--recipe",
    type=click.Choice(list(recipes.RECIPES)),
    help="Settings that gave a published figure; options that are given change them.",
)
importance_samples_option = click.option(
    "--importance-samples", type=int, default=500, show_default=True, help="Draws per image; 5000 for publication."
)


@click.group(cls=OneLineGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="kvae")
def main() -> None:
    """Variational autoencoders: train with Keras, hand over as ONNX, sample anywhere."""


@main.command()
@config_options(TrainConfig, ModelConfig)
@regularizer_option
@recipe_option
@data_dir_option
@device_option
@strategy_option
@click.option("--out", type=PATH, help="The run's new folder. [default: runs/DATASET-ARCHITECTURE-TIME]")
@click.option("--resume", metavar="RUN", type=PATH, help="Go on with a run that was stopped, under its own settings.")
@json_option
@click.pass_context
def train(
    context: click.Context,
    recipe: str | None,
    data_dir: Path | None,
    device: str,
    strategy: str,
    out: Path | None,
    resume: Path | None,
    as_json: bool,
    **settings: Any,
) -> None:
    """Train a model, evaluate it on the test images, and export it."""
    changed = given(context, settings)
    if resume and (changed or recipe or out):
        name = next(iter(changed), "recipe" if recipe else "out").replace("_", "-")
        raise click.UsageError(f"--resume goes on under the settings of the run; --{name} cannot be given beside it.")
    config = recipes.resolve(recipe, changed)
    _log_to_stderr()
    from kvae.cli.train import resume_training, run_training  # TensorFlow loads here, not for --help

    if resume:
        resume_training(resume, data_dir, device, strategy, as_json)
    else:
        run_training(config, out, data_dir, device, strategy, as_json)


@main.command()
@click.option(
    "--vary", multiple=True, metavar="SETTING=VALUE,...", help="A setting and its values; repeat it for a grid."
)
@click.option(
    "--preset", type=click.Choice(PRESETS), help="why-kl: the KL, the cross-entropy, what lies between, none."
)
@config_options(TrainConfig, ModelConfig)
@regularizer_option
@importance_samples_option
@data_dir_option
@click.option("--out", type=PATH, default="comparison", show_default=True, help="Folder of the runs and the report.")
@json_option
@click.pass_context
def compare(
    context: click.Context,
    vary: tuple[str, ...],
    preset: str | None,
    importance_samples: int,
    data_dir: Path | None,
    out: Path,
    as_json: bool,
    **settings: Any,
) -> None:
    """Train under several settings, and compare.

    Each run is measured, and a report written.
    """
    _log_to_stderr()
    from kvae.cli.compare import run_comparison

    run_comparison(given(context, settings), vary, preset, out, data_dir, importance_samples, as_json)


@main.command()
@click.argument("model", metavar="RUN|BUNDLE")
@click.option("--out", type=PATH, required=True, help="The bundle's folder; a bundle that is there is replaced.")
@click.option(
    "--precision",
    "to_precision",
    type=click.Choice(["float32", "float16", "int8"]),
    default="float32",
    show_default=True,
    help="Of the weights. float16 and int8 are compared with float32 on the test images.",
)
@click.option(
    "--format",
    "graph_format",
    type=click.Choice(["onnx", "ort"]),
    default="onnx",
    show_default=True,
    help="onnx, or onnxruntime's own format, which its small builds for phones and boards read.",
)
@own_option
@data_dir_option
@json_option
def export(
    model: str,
    out: Path,
    to_precision: str,
    graph_format: str,
    data: Path | None,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Write the bundle of a run, also in another precision.

    RUN is a folder that `kvae train` made. Of a BUNDLE, one in another precision or format is made.
    """
    _log_to_stderr()
    from kvae.cli.export import run_export

    run_export(model, out, to_precision, graph_format, data_dir, as_json, data)


@main.command()
@click.option("--n", "n", type=int, default=64, show_default=True, help="Number of images.")
@model_option
@click.option(
    "--out",
    type=PATH,
    default="samples.png",
    show_default=True,
    help="A .png for a grid, .npy or .npz for numbers, a folder for one PNG per image.",
)
@engine_option
@click.option("--seed", type=int, default=0, show_default=True, help="Image i depends on (seed, i) alone.")
@click.option("--temperature", type=float, default=1.0, show_default=True, help="Factor on the prior's scale.")
@device_option
@json_option
def sample(
    n: int, model: str | None, out: Path, engine: str, seed: int, temperature: float, device: str, as_json: bool
) -> None:
    """Draw images from a model."""
    if engine == "ray":
        bulk.sample(model, n, out, seed, temperature, device, as_json)
        return
    from kvae.bundle.locate import locate
    from kvae.files import output
    from kvae.runtime.bundle import Bundle

    path = locate(model)
    bundle = Bundle.open(path, device)
    batches = terminal.shown(bundle.sample_batches(n, seed, temperature), n, len)
    output.write(batches, n, bundle.manifest.image_shape, out)
    terminal.tell_which(model, path)
    report = {"out": str(out), "n": n, "seed": seed, "model": str(path), "device": bundle.device}
    click.echo(json.dumps(report) if as_json else str(out))


@main.command()
@click.argument("model", metavar="RUN|BUNDLE", required=False)
@importance_samples_option
@click.option("--against", metavar="OTHER", help="A second model: differences are paired, image by image.")
@click.option("--per-image", type=PATH, help="An .npz to write the values of each image to.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the draws.")
@click.option(
    "--proposal",
    type=click.Choice(["adaptive", "posterior"]),
    default="adaptive",
    show_default=True,
    help="Where the importance samples come from: the posterior, or that widened where it is far too narrow.",
)
@own_option
@data_dir_option
@device_option
@json_option
def evaluate(model: str | None, against: str | None, **options: Any) -> None:
    """Evaluate a run or a bundle on the test images.

    The ELBO, the NLL, rate, distortion, and what the codes hold.
    """
    from kvae.cli.evaluate import run_evaluation

    run_evaluation(model, against, **options)


@main.command()
@click.argument("model", required=False)
@json_option
def info(model: str | None, as_json: bool) -> None:
    """Show what a bundle says about itself.

    MODEL is named as for `kvae sample --model`.
    """
    from kvae.bundle import summary
    from kvae.bundle.locate import locate
    from kvae.runtime.bundle import Bundle

    path = locate(model)
    manifest = Bundle.open(path, device="cpu").manifest
    terminal.tell_which(model, path)
    click.echo(json.dumps(summary.as_json(manifest, path), indent=2) if as_json else summary.as_text(manifest, path))


def _log_to_stderr() -> None:
    import logging  # 8 ms that --help can do without

    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger("kvae")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False


for command in (*images.COMMANDS, *checks.COMMANDS, explore, runs, data_group):
    main.add_command(command)
