"""Options that several commands share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from kvae.cli import complete
from kvae.cli.suggestions import Choice
from kvae.machine import cores

PATH = click.Path(path_type=Path, readable=False)  # the code that reads it checks, with advice, whether it can


def _limit(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
    from kvae.cli import limits  # here, because few commands are limited

    limits.start(context, parameter, value)


limit_option = click.option(
    "--limit",
    metavar="SECONDS[,MB]",
    callback=_limit,
    expose_value=False,
    help="For models that you do not trust: run in a separate process, which is stopped after SECONDS and cannot use "
    "more than MB of memory.",
)
_model_option = click.option(
    "--model",
    metavar="MODEL",
    shell_complete=complete.models,
    help="A bundle folder, a decoder.onnx, a run, or the name of a shipped model. "
    "[default: the newest run here, else fashion_mnist]",
)


def model_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options that say which model, and within which limits it runs."""
    return _model_option(limit_option(command))


device_option = click.option(
    "--device",
    type=Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Where to run. auto uses CUDA if it works, else the CPU; cuda fails if it does not work.",
)
strategy_option = click.option(
    "--strategy",
    type=Choice(["auto", "single", "mirrored", "multi_worker"]),
    default="auto",
    show_default=True,
    help="Train on one device, on all GPUs of this machine, or on the machines of TF_CONFIG; auto uses all it finds.",
)
own_option = click.option(
    "--data", type=PATH, help="Your own images that the model was trained on, if its run does not record their path."
)
data_dir_option = click.option("--data-dir", type=PATH, help="Folder that holds the data set's idx files.")
importance_samples_option = click.option(
    "--importance-samples", type=int, default=500, show_default=True, help="Draws per image; use 5000 for publication."
)
threads_option = click.option(
    "--threads",
    type=click.IntRange(1, cores.MAX),
    expose_value=False,
    callback=lambda context, option, value: cores.give(value),
    help=f"CPU threads, also as {cores.VARIABLE}. [default: one per core that this process may use]",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
