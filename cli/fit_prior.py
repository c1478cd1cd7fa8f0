"""`kvae fit-prior`: fit a prior to the codes of a finished run's model."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from kvae.cli import complete, terminal
from kvae.cli.config_options import config_options
from kvae.cli.destination import Out
from kvae.cli.help import command
from kvae.cli.options import PATH, data_dir_option, device_option, json_option, threads_option
from kvae.cli.quiet import import_tensorflow_quietly
from kvae.config import PriorFitConfig
from kvae.files import json_text


@command(
    "fit-prior",
    examples=[
        "kvae fit-prior runs/first --prior mixture --out runs/fitted",
        "kvae fit-prior runs/first --prior flow --epochs 100 --out runs/flow",
    ],
)
@click.argument("run", metavar="RUN", type=PATH, shell_complete=complete.runs)
@config_options(PriorFitConfig)
@click.option("--out", type=Out(), required=True, help="New folder for the run with the fitted prior.")
@data_dir_option
@device_option
@threads_option
@json_option
def fit_prior(run: Path, out: Path, data_dir: Path | None, device: str, as_json: bool, **settings: Any) -> None:
    """Fit a prior to the codes of a finished run's model, and make a run with it.

    The encoder and the decoder stay as they are. The prior is fitted by maximum likelihood to draws from the posteriors
    of the training images.
    """
    fit = PriorFitConfig(**settings)
    terminal.log_to_stderr()
    import_tensorflow_quietly()
    with terminal.status("loading kvae's models"):
        from kvae.runs.files import read_config
        from kvae.training import prior_fitting, process

    process.set_up_process(read_config(run), device)
    with terminal.bar(fit.epochs, "fitting the prior") as bar:
        found = prior_fitting.fit_prior(
            run, out, fit, data_dir, lambda epoch, *rates: bar.update(1), terminal.counter("images decoded")
        )
    if found.is_worse:
        terminal.tell(
            "Warning: the fitted prior is worse than the one it replaces: its rate is higher. Fit with more --epochs "
            "or a smaller --batch-size, or fit --prior flow."
        )
    click.echo(json_text.dumps(_as_json(found), indent=2) if as_json else f"{_as_text(found)}\n{found.run.path}")


def _as_json(found: Any) -> dict[str, Any]:
    return {
        "run": str(found.run.path),
        "bundle": str(found.run.exported.path),
        "before": found.before,
        "metrics": {name: asdict(metric) for name, metric in found.run.metrics.items()},
        "findings": [asdict(finding) for finding in found.run.findings],
        "parity": found.run.exported.parity,
    }


def _as_text(found: Any) -> str:
    before, after = found.before["rate"], found.run.metrics["rate"]
    return (
        f"test rate {before['value']:.2f} ± {before['standard_error']:.2f} before, {after.value:.2f} ± "
        f"{after.standard_error:.2f} with the fitted prior, in nats per image"
    )
