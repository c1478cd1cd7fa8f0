"""`kvae compare`: a line per run on stderr, a table or JSON on stdout, the report in a folder."""

import json
import shlex
import sys
from pathlib import Path
from typing import Any

import click

from kvae.cli import terminal
from kvae.cli.config_options import config_options, given, regularizer_option
from kvae.cli.options import (
    PATH,
    data_dir_option,
    importance_samples_option,
    json_option,
)
from kvae.cli.quiet import import_tensorflow_quietly
from kvae.config import ModelConfig, TrainConfig
from kvae.errors import ConfigError

PRESETS = ["why-kl"]  # the same as in kvae.comparison.settings, which loads Keras


@click.command()
@click.option("--vary", multiple=True, metavar="SETTING=VALUE,...", help="A setting and its values; repeat for a grid.")
@click.option(
    "--preset", type=click.Choice(PRESETS), help="why-kl: the KL, the cross-entropy, losses in between, and none."
)
@config_options(TrainConfig, ModelConfig)
@regularizer_option
@importance_samples_option
@data_dir_option
@click.option("--out", type=PATH, default="comparison", show_default=True, help="Folder for the runs and the report.")
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
    import_tensorflow_quietly()
    from kvae.comparison import report, settings, sweeps
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
            lambda line: click.echo(line, err=True),
        )
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"Interrupted. Finished runs are in {out}; repeat the command to resume.") from None
    finally:
        progress.close()
    title = "Why KL? The loss of a VAE, varied" if preset == "why-kl" else "kvae compare"
    report.write(results, out / layout.REPORT, title, "kvae " + shlex.join(sys.argv[1:]))
    if as_json:
        rows = [result.to_dict() for result in results]
        click.echo(json.dumps({"report": str(out / layout.REPORT), "results": rows}, indent=2))
        return
    click.echo(_table(results, report.about_numbers(results)))
    click.echo(str(out / layout.REPORT))


def _table(results: list[Any], about_numbers: str) -> str:
    width = max(len(result.setting.name) for result in results) + 2
    lines = [f"{'nats per test image':<{width}}{'loss':>10}{'−ELBO':>10}{'NLL':>10}{'ESS':>8}  caveat".rstrip()]
    for result in results:
        metrics, caveat = result.evaluation.metrics, result.evaluation.loss_caveat
        bound = "" if result.evaluation.nll_is_believable else "≤ "
        lines.append(
            f"{result.setting.name:<{width}}{result.loss.value:>10.2f}{-metrics['elbo'].value:>10.2f}"
            f"{bound:>4}{metrics['nll'].value:>6.2f}{metrics['effective_sample_size'].value:>8.1f}"
            + (f"  {caveat}" if caveat else "")
        )
    lines.append(f"numbers are {about_numbers}")
    return "\n".join(lines)
