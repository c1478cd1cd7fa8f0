"""`kvae verify` and `kvae doctor`: whether a bundle, and this installation, work as they should."""

from pathlib import Path
from typing import Any

import click

from kvae.cli.options import PATH, device_option, json_option, limit_option
from kvae.files import json_text

WIDTH = 80
WORDS = {"ok": "ok", "failed": "FAILED", "skipped": "skipped"}


@click.command()
@click.argument("model", metavar="[BUNDLE]", required=False)
@click.option("--run", type=PATH, help="Compare with the Keras model of this run too; needs the train extra.")
@device_option
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
    click.echo(json_text.dumps(report.to_dict()) if as_json else _report_text(report))
    context.exit(0 if report.passed else 1)


@click.command()
@json_option
@click.pass_context
def doctor(context: click.Context, as_json: bool) -> None:
    """Say what this installation can and cannot do."""
    from kvae.checks import doctor as doctors

    diagnosis = doctors.examine()
    click.echo(json_text.dumps(diagnosis.to_dict()) if as_json else _diagnosis_text(diagnosis))
    context.exit(0 if diagnosis.healthy else 1)


def _with_keras(run: Path) -> dict[str, Any]:
    from kvae.cli.quiet import import_tensorflow_quietly

    import_tensorflow_quietly()
    from kvae.training.keras_parity import keras_parity

    return {"keras": lambda subject: keras_parity(subject, run)}


def _report_text(report: Any) -> str:
    lines = [f"{report.path}, on {report.device}"]
    lines += [_row(f"{check.name:<12} {WORDS[check.status]:<8}", check.detail) for check in report.checks]
    counts = [(sum(check.status == status for check in report.checks), word) for status, word in WORDS.items()]
    lines.append(", ".join(f"{count} {word}" for count, word in counts if count))
    return "\n".join(lines)


def _diagnosis_text(diagnosis: Any) -> str:
    import textwrap

    width = max(len(row.name) for row in diagnosis.rows)
    lines = [_row(f"{row.name:<{width}}", row.text) for row in diagnosis.rows]
    if diagnosis.advice:
        lines.append("")
    for advice in diagnosis.advice:
        lines.append(textwrap.fill(f"{advice.purpose}:", WIDTH))
        lines += [f"    {command}" for command in advice.commands]
    if diagnosis.advice:
        lines.append("In a clone of kvae, write '.[train]' instead of 'kvae-onnx[train]', and so on.")
    return "\n".join(lines)


def _row(start: str, text: str) -> str:
    """A row of a table whose last column wraps below itself."""
    import textwrap  # not needed by `kvae --help`

    indent = " " * (len(start) + 1)
    return textwrap.fill(
        text,
        WIDTH,
        initial_indent=f"{start} ",
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
