"""`kvae export`: export a run as a bundle, or convert a bundle to another precision or format."""

from pathlib import Path
from typing import Any

import click

from kvae.bundle.locate import BUNDLE_FOLDER, locate, shipped
from kvae.bundle.manifest import FILE_NAME
from kvae.cli import complete, terminal
from kvae.cli.destination import Out, check_apart
from kvae.cli.help import command
from kvae.cli.options import data_dir_option, json_option, own_option, threads_option
from kvae.cli.quiet import import_tensorflow_quietly
from kvae.cli.suggestions import Choice
from kvae.files import json_text


@command(
    examples=[
        "kvae export runs/first --out my_bundle",
        "kvae export my_bundle --precision int8 --format ort --out phone",
    ],
    own={"Conversion": ("to_precision", "graph_format")},
)
@click.argument("model", metavar="RUN|BUNDLE", shell_complete=complete.models)
@click.option("--out", type=Out(), required=True, help="Folder for the bundle; an existing bundle is replaced.")
@click.option(
    "--precision",
    "to_precision",
    type=Choice(["float32", "float16", "int8"]),
    default="float32",
    show_default=True,
    help="Precision of the weights. float16 and int8 are compared with float32 on the test images.",
)
@click.option(
    "--format",
    "graph_format",
    type=Choice(["onnx", "ort"]),
    default="onnx",
    show_default=True,
    help="ort is onnxruntime's own format, for its small builds on phones and embedded boards.",
)
@own_option
@data_dir_option
@threads_option
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
    """Export a run as a bundle, or convert a bundle.

    RUN is a folder made by `kvae train`. A BUNDLE is converted to another precision or format.
    """
    terminal.log_to_stderr()
    run_export(model, out, to_precision, graph_format, data_dir, as_json, data)


def run_export(
    model: str,
    out: Path,
    to_precision: str,
    graph_format: str,
    data_dir: Path | None,
    as_json: bool,
    data: Path | None = None,
) -> None:
    """Export a run or convert a bundle, and print how well the result agrees with the original.

    See `kvae.export.bundles` and `kvae.conversion.conversion`.
    """
    path = Path(model)
    is_bundle = path.is_file() or (path / FILE_NAME).is_file() or (not path.exists() and model in shipped())
    if (to_precision, graph_format) == ("float32", "onnx") and not is_bundle:
        _export_run(path, out, data_dir, data, as_json)
    else:
        _convert(locate(model), out, to_precision, graph_format, data_dir, data, as_json)


def _export_run(run: Path, out: Path, data_dir: Path | None, data: Path | None, as_json: bool) -> None:
    from kvae.evaluation.data import own_paths

    is_own = out.resolve() == (run / BUNDLE_FOLDER).resolve()  # which is not read, and may be made again
    if (run / "config.json").is_file() and not is_own:
        check_apart(out, [run, *filter(None, [data, data_dir]), *own_paths(run / BUNDLE_FOLDER)])
    import_tensorflow_quietly()
    from kvae.training import exporting

    exported = exporting.export_run(run, out, data_dir, data)
    report = {"bundle": str(exported.path), "parity": exported.parity}
    click.echo(json_text.dumps(report) if as_json else f"{terminal.parity_text(exported.parity)}\n{exported.path}")


def _convert(
    source: Path,
    out: Path,
    to_precision: str,
    graph_format: str,
    data_dir: Path | None,
    data: Path | None,
    as_json: bool,
) -> None:
    from kvae.conversion import conversion
    from kvae.evaluation.data import own_paths

    check_apart(out, [*filter(None, [data, data_dir]), *own_paths(source)], source)

    with terminal.bar(1, "comparing") as shown:

        def progress(done: int, of: int) -> None:
            shown.length = of
            shown.update(done)

        converted = conversion.convert(
            source, out, to_precision, graph_format, data_dir=data_dir, own=data, progress=progress
        )
    found = converted.manifest.conversion
    if as_json:
        report = {"bundle": str(out), "precision": to_precision, "format": graph_format}
        click.echo(json_text.dumps(report | {"differences": converted.differences, "conversion": found}))
        return
    click.echo(_cost(found) if found else _differences(converted.differences))
    click.echo(str(out))


def _cost(found: dict[str, Any]) -> str:
    lost, limits = found["nll_lost"], found["limits"]
    return (
        f"against float32, on {found['num_images']:,} test images: pixels are off by {found['mean_pixel_error']:.1e} "
        f"on average (allowed {limits['mean_pixel_error']:g}) and {found['worst_pixel_error']:.1e} at worst; NLL lost "
        f"{lost['value']:.4f} ± {lost['standard_error']:.4f} nats (allowed {limits['nll_lost']:g})\n"
        f"size {found['size']:,} bytes, {found['size'] / found['float32_size']:.0%} of float32's; "
        f"decodes {found['speed']:.2f} times as fast"
    )


def _differences(differences: dict[str, float]) -> str:
    return "against the ONNX graphs: " + ", ".join(f"{name} {error:.1e}" for name, error in differences.items())
