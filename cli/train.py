"""`kvae train`: progress on stderr, the result on stdout."""

import contextlib
import math
import os
import shlex
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import click

from kvae import recipes
from kvae.bundle import caveats
from kvae.cli import complete, config_file, terminal
from kvae.cli import dry_run as dry_runs
from kvae.cli.config_file import config_option
from kvae.cli.config_options import config_options, given, regularizer_option
from kvae.cli.destination import Out
from kvae.cli.help import command
from kvae.cli.options import (
    PATH,
    data_dir_option,
    device_option,
    json_option,
    strategy_option,
    threads_option,
)
from kvae.cli.quiet import FOR_TRAINING, import_tensorflow_quietly
from kvae.cli.suggestions import Choice
from kvae.config import ModelConfig, TrainConfig
from kvae.files import json_text

FIRST = (
    "dataset", "data", "recipe", "architecture", "latent_dim", "prior", "beta", "epochs", "out", "resume",
    "config_file", "dry_run",
)  # fmt: skip
"""The options that `kvae train --help` shows, by their parameters' names."""

LABEL = 15
"""The width of the labels of a training's results."""
PREPARING = "reading images, building the model"

recipe_option = click.option(
    "--recipe",
    type=Choice(list(recipes.RECIPES)),
    help="Start from a set of settings; other options override them. [default: fashion_mnist_quick for fashion_mnist, "
    "if no setting of the model or of its training is given]",
)


@command(
    examples=[
        "kvae train --dataset fashion_mnist --latent-dim 16 --out runs/first",
        "kvae train --data photos --image-size 64 --epochs 50 --out runs/photos",
    ],
    first=FIRST,
)
@config_options(TrainConfig, ModelConfig)
@regularizer_option
@recipe_option
@data_dir_option
@device_option
@threads_option
@strategy_option
@click.option("--out", type=Out(), help="New folder for the run. [default: runs/DATASET-ARCHITECTURE-TIME]")
@click.option(
    "--resume",
    metavar="RUN",
    type=PATH,
    shell_complete=complete.runs,
    help="Resume a run that was stopped, with its own settings; with --epochs, train a stopped or finished run to that "
    "many epochs.",
)
@config_option
@click.option("--dry-run", is_flag=True, help="Say what would be trained, and write nothing.")
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
    dry_run: bool,
    as_json: bool,
    **settings: Any,
) -> None:
    """Train a model, evaluate it on the test images, and export it."""
    if resume and (dry_run or config_file.path_of(context)):
        raise click.UsageError(f"--{'dry-run' if dry_run else 'config'} is for a new run; leave out --resume.")
    changed = given(context, settings)
    epochs = changed.pop("epochs", None) if resume else None
    if resume and (changed or recipe or out):
        name = next(iter(changed), "recipe" if recipe else "out").replace("_", "-")
        raise click.UsageError(
            f"--resume uses the settings of the run; --{name} cannot be combined with it. --init-from begins a new run."
        )
    terminal.log_to_stderr()
    if resume:
        resume_training(resume, epochs, data_dir, device, strategy, as_json)
        return
    with config_file.named_in_errors(context):
        if "init_from" in changed:
            from kvae.runs import initial

            changed = initial.inherited(changed, with_data=recipe is None)
        own = None if recipe else recipes.for_settings(changed)
        config = recipes.resolve(recipe or own, changed)
    if dry_run:
        dry_runs.tell(config, recipe or own, out, data_dir, as_json)
        return
    note = own and f"recipe {own}, as no setting was given; --recipe {own} to change some of it"
    run_training(config, out, data_dir, device, strategy, as_json, note)


def run_training(
    config: TrainConfig,
    out: Path | None,
    data_dir: Path | None,
    device: str,
    strategy: str,
    as_json: bool,
    note: str | None = None,
) -> None:
    """Train as `config` says and print the results, and `note` as the training begins; see `kvae.training.train`."""
    from kvae.data import choice
    from kvae.runs import beginning

    config = choice.dense_for_tables(config)
    folder = out or beginning.default_folder(config)
    if "TF_CONFIG" not in os.environ:  # a chief may have begun the run of this worker
        beginning.check(folder, config)  # before TensorFlow is loaded; again, once the run begins
    import_tensorflow_quietly(FOR_TRAINING)
    with terminal.status("loading kvae's models"):
        from kvae.training import making

    _run(partial(making.train, config), config, folder, data_dir, device, strategy, as_json, note=note)


def resume_training(
    folder: Path, epochs: int | None, data_dir: Path | None, device: str, strategy: str, as_json: bool
) -> None:
    """Resume a run, or train it longer, and print the results; see `kvae.training.resume`.

    A finished run is left unchanged if no epochs are given.
    """
    from kvae.runs import files as run_files
    from kvae.runs import layout

    if epochs is None and run_files.is_finished(folder) and not (folder / layout.LONGER / layout.CONFIG).is_file():
        made = len(next(iter(run_files.read_history(folder / layout.HISTORY).values()), []))
        click.echo(
            f"{folder} is finished: there is nothing left to do. To train it longer, add --epochs with a number above "
            f"{made}.",
            err=True,
        )
        found = {"run": str(folder), "metrics": run_files.read_json(folder / layout.METRICS)}
        click.echo(json_text.dumps(found, indent=2) if as_json else folder)
        return
    import_tensorflow_quietly(FOR_TRAINING)
    with terminal.status("loading kvae's models"):
        from kvae.training import longer, resuming

    config = longer.plan(folder, epochs).config
    make = partial(resuming.resume, epochs=epochs)
    _run(make, config, folder, data_dir, device, strategy, as_json, resumed=folder)


def _run(
    make: Callable[..., Any],
    config: TrainConfig,
    folder: Path,
    data_dir: Path | None,
    device: str,
    strategy: str,
    as_json: bool,
    resumed: Path | None = None,
    note: str | None = None,
) -> None:
    from kvae.runs import files as run_files
    from kvae.runs import layout
    from kvae.steps import strategies
    from kvae.training import process, resuming
    from kvae.training.interrupts import Interrupted
    from kvae.training.progress import TrainingProgress

    process.set_up_process(config, device)
    devices = strategies.create(strategy)
    decoding = terminal.counter("images decoded")
    if not strategies.is_chief(devices):
        resuming.follow(config, devices, resumed, data_dir, decoding)
        click.echo("This worker is done; the chief evaluates and exports.", err=True)
        return
    preparing = contextlib.ExitStack()
    preparing.enter_context(terminal.status(PREPARING, plain=True))
    progress = TrainingProgress(config.batch_size, epochs=config.epochs, note=note, before=preparing.close)
    try:
        run = make(folder, data_dir, [progress], decoding, devices)
    except KeyboardInterrupt as error:
        saved = "All progress" if isinstance(error, Interrupted) else "Progress up to the last checkpoint"
        advice = f" {saved} is saved. Resume with: kvae train --resume {shlex.quote(str(folder))}"
        raise KeyboardInterrupt("Interrupted." + advice * (folder / layout.CONFIG).is_file()) from None
    finally:
        preparing.close()
        progress.close()
    if config.model.likelihood is None:  # chosen since then, from the data
        config = run_files.read_config(run.path)
    if as_json:
        click.echo(json_text.dumps(_as_json(run, config), indent=2))
        return
    click.echo(terminal.wrapped(_as_text(run, config), terminal.width(), LABEL))
    terminal.tell(_next(run))


def _as_json(run: Any, config: TrainConfig) -> dict[str, Any]:
    beta = run.effective_beta
    return {
        "run": str(run.path),
        "bundle": str(run.exported.path),
        "metrics": {name: asdict(metric) for name, metric in run.metrics.items()},
        "kind": caveats.kind(str(config.model.likelihood), str(config.binarize)),
        "effective_beta": beta if math.isfinite(beta) else None,
        "loss_caveat": caveats.about_training(run.exported.manifest.training),
        "schedule_caveat": caveats.about_schedule(run.exported.manifest.training),
        "shift_caveat": caveats.about_shift(run.exported.manifest.training),
        **({"labels": labels} if (labels := run.exported.manifest.labels) else {}),
        "findings": [asdict(finding) for finding in run.findings],
        "parity": run.exported.parity,
        "files": [str(path) for path in _files(run)],
    }


def _as_text(run: Any, config: TrainConfig) -> str:
    from kvae.runs import diagnosis

    metrics = run.metrics
    lines = [
        f"{label:<{LABEL}}{metrics[name].value:.2f} ± {metrics[name].standard_error:.2f} nats per image"
        for label, name in (("test ELBO", "elbo"), ("distortion", "distortion"), ("rate", "rate"))
    ]
    lines[0] += f" ({caveats.about_numbers(str(config.model.likelihood), str(config.binarize))})"
    if names := run.exported.manifest.labels:
        from kvae.data import classes

        lines.append(f"{'classes':<{LABEL}}{classes.listed(names)}")
        lines.append(
            f"{'labels':<{LABEL}}the numbers are given each image's label y: of log p(x|y); kvae evaluate also "
            f"estimates log p(x) = log sum_y p(y) p(x|y)"
        )
    lines.append(f"{'active units':<{LABEL}}{metrics['active_units'].value:.0f} of {run.exported.manifest.latent_dim}")
    lines.append(f"{'effective beta':<{LABEL}}{run.effective_beta:.3f}")
    caveat = caveats.about_training(run.exported.manifest.training)
    if caveat:
        lines.append(f"{'loss':<{LABEL}}{caveat}")
    schedule = caveats.about_schedule(run.exported.manifest.training)
    if schedule:
        lines.append(f"{'schedule':<{LABEL}}{schedule}")
    if moved := caveats.about_shift(run.exported.manifest.training):
        lines.append(f"{'shift':<{LABEL}}{moved}")
    lines += [f"{'note':<{LABEL}}{diagnosis.as_text(finding)}" for finding in run.findings]
    lines.append(f"{'parity':<{LABEL}}{terminal.parity_text(run.exported.parity)}")
    lines.append(f"{'run':<{LABEL}}{run.path}")
    return "\n".join(lines)


def _next(run: Any) -> str:
    """What to do with a new run."""
    from kvae.files import pictures
    from kvae.runs import layout

    name = shlex.quote(str(run.path))
    commands = [f"kvae sample --model {name}", f"kvae explore {name}"]
    if pictures.is_table(run.exported.manifest.image_shape):
        commands = [f"kvae sample --model {name} --out samples.npy", f"kvae evaluate {name}"]
    return "\n".join([f"Open {run.path / layout.REPORT}. Next:", *(f"  {command}" for command in commands)])


def _files(run: Any) -> list[Path]:
    """The files of a run, except the hidden lock."""
    return sorted(path for path in run.path.rglob("*") if path.is_file() and not path.name.startswith("."))
