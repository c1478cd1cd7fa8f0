"""`kvae verify` and `kvae doctor`: whether a bundle, and this installation, work as they should."""

from pathlib import Path
from typing import Any

import click

from kvae.cli import complete, terminal
from kvae.cli.help import command
from kvae.cli.options import PATH, device_option, json_option, limit_option, threads_option
from kvae.files import json_text

WORDS = {"ok": "ok", "failed": "FAILED", "skipped": "skipped"}


@command(
    examples=["kvae verify my_bundle", "kvae verify my_bundle --run runs/first --device cuda"],
    own={"Check": ("run",)},
)
@click.argument("model", metavar="[BUNDLE]", required=False, shell_complete=complete.models)
@click.option(
    "--run",
    type=PATH,
    shell_complete=complete.runs,
    help="Compare with the Keras model of this run too; needs the train extra.",
)
@device_option
@threads_option
@limit_option
@json_option
@click.pass_context
def verify(context: click.Context, model: str | None, run: Path | None, device: str, as_json: bool) -> None:
    """Check on this machine that a bundle computes what it should.

    BUNDLE is given as for `kvae sample --model`.
    """
    from kvae.bundle.locate import locate
    from kvae.checks import verification

    report = verification.verify(locate(model), device, _with_keras(run) if run is not None else None)
    click.echo(json_text.dumps(report.to_dict(), indent=2) if as_json else _report_text(report))
    context.exit(0 if report.passed else 1)


@command(examples=["kvae doctor", "kvae doctor --json"])
@json_option
@click.pass_context
def doctor(context: click.Context, as_json: bool) -> None:
    """Say what this installation can and cannot do."""
    from kvae.checks import doctor as doctors

    diagnosis = doctors.examine()
    click.echo(json_text.dumps(diagnosis.to_dict(), indent=2) if as_json else _diagnosis_text(diagnosis))
    context.exit(0 if diagnosis.healthy else 1)


def _with_keras(run: Path) -> dict[str, Any]:
    from kvae.cli.quiet import import_tensorflow_quietly

    import_tensorflow_quietly()
    from kvae.training.keras_parity import keras_parity

    return {"keras": lambda subject: keras_parity(subject, run)}


def _report_text(report: Any) -> str:
    columns = terminal.width()
    lines = [terminal.wrapped(f"{report.path}, on {report.device}", columns)]
    for check in report.checks:
        label = f"{check.name:<12} {WORDS[check.status]:<8} "
        lines.append(terminal.wrapped(f"{label}{check.detail}", columns, len(label)))
    counts = [(sum(check.status == status for check in report.checks), word) for status, word in WORDS.items()]
    lines.append(", ".join(f"{count} {word}" for count, word in counts if count))
    return "\n".join(lines)


def _diagnosis_text(diagnosis: Any) -> str:
    columns = terminal.width()
    width = max(len(row.name) for row in diagnosis.rows) + 1
    lines = [terminal.wrapped(f"{row.name:<{width}}{row.text}", columns, width) for row in diagnosis.rows]
    if diagnosis.advice:
        lines.append("")
    for advice in diagnosis.advice:
        lines.append(terminal.wrapped(f"{advice.purpose}:", columns))
        lines += [f"    {command}" for command in advice.commands]
    return "\n".join(lines)
