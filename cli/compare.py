"""`kvae compare`: a line per run on stderr, a table or JSON on stdout, the report in a folder."""

import shlex
import sys
from pathlib import Path
from typing import Any

import click

from kvae.cli import terminal
from kvae.cli.config_options import config_options, given, regularizer_option
from kvae.cli.destination import Out
from kvae.cli.help import command
from kvae.cli.options import (
    data_dir_option,
    importance_samples_option,
    json_option,
    threads_option,
)
from kvae.cli.quiet import FOR_TRAINING, import_tensorflow_quietly
from kvae.cli.suggestions import Choice
from kvae.config import ModelConfig, TrainConfig
from kvae.errors import ConfigError
from kvae.files import json_text

FIRST = (
    "vary", "preset", "importance_samples", "dataset", "data", "architecture", "latent_dim", "beta", "epochs", "seed",
    "out", "as_json",
)  # fmt: skip
"""The options that `kvae compare --help` shows, by their parameters' names."""
PRESETS = ["why-kl"]  # the same as in kvae.comparison.settings, which loads Keras


@command(
    examples=[
        "kvae compare --preset why-kl --out why",
        "kvae compare --vary beta=0.25,1,4 --dataset fashion_mnist_mini --out betas",
    ],
    own={"Comparison": ("vary", "preset", "importance_samples")},
    first=FIRST,
)
@click.option("--vary", multiple=True, metavar="SETTING=VALUE,...", help="A setting and its values; repeat for a grid.")
@click.option("--preset", type=Choice(PRESETS), help="why-kl: the KL, the cross-entropy, losses in between, and none.")
@config_options(TrainConfig, ModelConfig)
@regularizer_option
@importance_samples_option
@data_dir_option
@threads_option
@click.option("--out", type=Out(), default="comparison", show_default=True, help="Folder for the runs and the report.")
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
    """Train with several settings and compare the results.

    Every run is measured, and a report is written.
    """
    terminal.log_to_stderr()
    run_comparison(given(context, settings), vary, preset, out, data_dir, importance_samples, as_json)


def run_comparison(
    base: dict[str, Any],
    vary: tuple[str, ...],
    preset: str | None,
    out: Path,
    data_dir: Path | None,
    importance_samples: int,
    as_json: bool,
) -> None:
    """Train and measure a sweep, and print the results; see `kvae.comparison.sweeps`."""
    if (preset is None) == (not vary):
        raise ConfigError("give either --vary SETTING=VALUE,VALUE,... or --preset.")
    import_tensorflow_quietly(FOR_TRAINING)
    from kvae.comparison import report, settings, sweeps
    from kvae.comparison.verdict import verdict
    from kvae.runs import layout
    from kvae.training.progress import TrainingProgress

    if preset is not None:
        points = settings.preset(preset, base)
    else:
        points = settings.grid(base, [settings.parse_vary(text) for text in vary])
    progress = TrainingProgress(points[0].config.batch_size, lines=False)
    try:
        results = sweeps.compare(
            points,
            out,
            data_dir,
            importance_samples,
            [progress],
            terminal.tell,
        )
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"Interrupted. Finished runs are in {out}; repeat the command to resume.") from None
    finally:
        progress.close()
    title = "Why KL? The loss of a VAE, varied" if preset == "why-kl" else "kvae compare"
    report.write(results, out / layout.REPORT, title, "kvae " + shlex.join(sys.argv[1:]))
    if as_json:
        click.echo(json_text.dumps({"report": str(out / layout.REPORT)} | sweeps.as_json(results), indent=2))
        return
    columns = terminal.width()
    click.echo(_table(results, columns))
    for text in (*_caveats(results), f"numbers are {report.about_numbers(results)}", verdict(results)):
        click.echo(terminal.wrapped(text, columns))
    click.echo(str(out / layout.REPORT))


def _table(results: list[Any], columns: int | None) -> str:
    rows = [["nats per test image", "loss", "−ELBO", "NLL", "ESS"]]
    for result in results:
        metrics = result.evaluation.metrics
        bound = "" if result.evaluation.nll_is_believable else "≤ "
        rows.append(
            [
                result.setting.name,
                f"{result.loss.value:.2f}",
                f"{-metrics['elbo'].value:.2f}",
                f"{bound}{metrics['nll'].value:.2f}",
                f"{metrics['effective_sample_size'].value:.1f}",
            ]
        )
    return terminal.table(rows, columns=columns, right=range(1, 5), optional=[4])


def _caveats(results: list[Any]) -> list[str]:
    return [
        f"{result.setting.name}: {result.evaluation.loss_caveat}" for result in results if result.evaluation.loss_caveat
    ]
