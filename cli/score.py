"""`kvae score`: the ELBO of the user's images, and which of them are odd. It needs no TensorFlow."""

import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from kvae.cli import labels
from kvae.cli.bulk import encode_or_score, engine_option
from kvae.cli.destination import STDOUT, Out, check_apart, destination
from kvae.cli.help import command
from kvae.cli.images import images_argument, len_of_batch, max_bad_option, open_images
from kvae.cli.options import PATH, device_option, model_option, threads_option
from kvae.cli.running import open_model, reading_options, report
from kvae.cli.suggestions import Choice
from kvae.cli.terminal import shown, tell, tell_skipped, tell_which, width
from kvae.errors import KvaeError
from kvae.files import json_text
from kvae.files.reading import Reading

STATISTICS = ("elbo", "nll", "typicality", "complexity")
"""Those of `kvae.detection`, which a test compares: importing it would load numpy for --help."""


@command(
    examples=[
        "kvae score new --model my_run --reference normal --alarm 0.01",
        "kvae score test.npy --model my_run --statistic complexity --labels odd.csv",
    ],
    own={"Detection": ("reference", "alarm", "statistic", "labels_file", "picture", "maps")},
)
@images_argument
@model_option
@click.option(
    "--out", type=Out(stdout=True), help="Write to this .csv instead of a table on stdout; - prints the .csv."
)
@click.option(
    "--reference",
    metavar="NORMAL",
    multiple=True,
    type=PATH,
    help="Your own normal images, which the model was not trained on: each image gets a p-value among them. May be "
    "given several times.",
)
@click.option(
    "--alarm",
    metavar="RATE",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="With --reference: mark images whose p-value is at most RATE, which bounds the rate of false alarms.",
)
@click.option(
    "--statistic",
    type=Choice(STATISTICS),
    help="What is odd. elbo: a low ELBO. nll: a high -log p(x) from 100 draws, slower. typicality: an ELBO far from "
    "the reference's mean, on either side. complexity: more bits than a lossless compressor explains. [default: "
    "complexity for a model of 8-bit images that are judged, else elbo]",
)
@click.option(
    "--labels",
    "labels_file",
    metavar="FILE",
    type=PATH,
    help="Which images are odd, 0 or 1 or normal or odd for each, in a .npy, .npz, .csv or .txt: adds AUROC, AUPR and "
    "the false alarms at 95 % detection.",
)
@click.option("--picture", type=Out(), help="Draw the 12 oddest images to this .png, and where in them the nats are.")
@click.option(
    "--maps", type=Out(), help="Write where in each image the nats are to this .npz: maps (n, height, width)."
)
@labels.label_option()
@reading_options
@max_bad_option
@engine_option
@device_option
@threads_option
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print one JSON object per image, each on its own line; with --labels, one more at the end: detection.",
)
def score(
    images: tuple[Path, ...],
    model: str | None,
    out: Path | None,
    reference: tuple[Path, ...],
    alarm: float | None,
    statistic: str | None,
    labels_file: Path | None,
    picture: Path | None,
    maps: Path | None,
    label: str | None,
    resize: bool,
    reading: Reading,
    max_bad: int,
    engine: str,
    device: str,
    as_json: bool,
) -> None:
    """Score IMAGES by their ELBO: low is anomalous.

    The ELBO is in nats; its percentile is relative to the training images. IMAGES are pictures, folders of pictures,
    .npy, .npz or idx files. A picture that is skipped has no row.
    """
    judged = bool(reference or labels_file or picture or statistic not in (None, "elbo"))
    _check_usage(engine, bool(reference), alarm, statistic, judged or maps is not None)
    if engine == "ray":
        encode_or_score("score", model, images, out, label, resize, reading, max_bad, device, as_json)
        return
    read = [*images, *reference, *([labels_file] if labels_file else [])]
    path, bundle = open_model(model, device, out, read, threads=1)
    _check_outputs(bundle, {"--out": out, "--picture": picture, "--maps": maps}, read, path)
    source = open_images(bundle, images, resize, reading, max_bad)
    known = labels.of_images(bundle, source, label)
    printed = out is None and sys.stdout.isatty()
    more: dict[str, Any] = {}
    if judged:
        is_odd = _is_odd(labels_file, source.count)
        normal = open_images(bundle, reference, resize, reading, max_bad) if reference else None
        judge = _judge(bundle, statistic, normal, label, alarm)
        if normal is not None:
            _tell_shared(source, normal)
        summary = _summary(judge, source, known, is_odd, picture)
        _write(summary, source, bundle, out, as_json, printed, judge)
        more = _conclude(summary, alarm, labels_file, as_json, out)
    else:
        from kvae.runtime import scores

        _write(scores.score(bundle, source, label=known), source, bundle, out, as_json, printed)
    if picture is not None:
        from kvae.detection import picture as drawing

        drawing.write(bundle, source, summary.oddest, picture)
        tell(f"{picture} shows, from the oddest: " + ", ".join(one.row.image for one in summary.oddest))
    if maps is not None:
        from kvae.detection import maps as mapping

        mapping.write(bundle, source, shown(source.batches(), source.count, len_of_batch), maps, known)
    if out is None and bundle.manifest.scoring is None:
        click.echo("no percentiles: this bundle has no statistics of its training images. Export it again.", err=True)
    if about := labels.about_numbers(bundle):
        tell(about)
    if out is not None:
        report(out, model, path, as_json, source, **more)
        return
    tell_skipped(source.skipped, source.count)
    tell_which(model, path)


def _check_usage(engine: str, has_reference: bool, alarm: float | None, statistic: str | None, is_more: bool) -> None:
    """Raise UsageError for options that do not go together."""
    if alarm is not None and not has_reference:
        raise click.UsageError("--alarm needs --reference, the normal images among which a p-value is a rank.")
    if statistic == "typicality" and not has_reference:
        raise click.UsageError("--statistic typicality needs --reference, from whose mean it measures.")
    if engine == "ray" and is_more:
        raise click.UsageError(
            "--engine ray computes the ELBO alone, without --reference, --statistic, --labels, --picture and --maps."
        )


def _check_outputs(bundle: Any, outputs: dict[str, Path | None], read: Sequence[Path], path: Path) -> None:
    """Raise KvaeError if an output cannot have its name or be written, or would replace an input or another output."""
    from kvae.detection import maps, picture

    given = {name: out for name, out in outputs.items() if out is not None}
    for name in ("--picture", "--maps"):
        check_apart(given.get(name), read, path, name)
    if (out := given.get("--out")) and out != STDOUT and out.suffix.lower() != ".csv":
        raise KvaeError(f"{out}: the name must end in .csv.")
    if "--picture" in given:
        picture.check(bundle.manifest, given["--picture"])
    if "--maps" in given:
        maps.check(given["--maps"])
    places = [out.absolute() for out in given.values()]
    if len(set(places)) < len(places):
        raise KvaeError(f"{' and '.join(given)} name the same file; give each its own.")
    for place in given.values():
        if place != STDOUT:
            _check_writable(place)


class _Writable(Exception):
    """A file could be written."""


def _check_writable(path: Path) -> None:
    """Raise KvaeError if a file cannot be written here; an existing one stays, and no folder is left behind."""
    from kvae.files.atomic import atomic_file

    if path.is_dir():
        raise KvaeError(f"{path} is a folder; give the name of a file.")
    with suppress(_Writable), atomic_file(path):
        raise _Writable


def _judge(bundle: Any, statistic: str | None, reference: Any, label: str | None, alarm: float | None) -> Any:
    """A `kvae.detection.verdicts.Judge`, calibrated if there is a reference."""
    from kvae.detection.verdicts import Judge

    judge = Judge(bundle, statistic)
    if reference is not None:
        known = labels.of_images(bundle, reference, label)
        for _ in shown(judge.calibrate(reference, known, alarm), reference.count, int):
            pass
        tell_skipped(reference.skipped, reference.count)
    return judge


def _tell_shared(source: Any, reference: Any) -> None:
    """Say if images are their own reference."""
    from kvae.detection.verdicts import shared

    if count := shared(source, reference):
        tell(f"note: {count:,} files are both among IMAGES and in --reference: their p-values are meaningless")


def _is_odd(labels_file: Path | None, count: int) -> Any:
    """Whether each image is odd, by --labels; None without."""
    if labels_file is None:
        return None
    from kvae.detection import odd_labels

    return odd_labels.read(labels_file, count)


def _summary(judge: Any, source: Any, known: Any, is_odd: Any, picture: Path | None) -> Any:
    """The verdicts on the images, as a `kvae.detection.summary.Summary`."""
    from kvae.detection.picture import SHOWN
    from kvae.detection.summary import Summary

    return Summary(judge.verdicts(source, known, is_odd), keep=SHOWN if picture else 0)


def _write(
    rows: Iterable[Any], source: Any, bundle: Any, out: Path | None, as_json: bool, printed: bool, judge: Any = None
) -> None:
    """Write rows to a .csv, or print them as a table or JSON."""
    from kvae.runtime import scores

    batches = shown(iter(rows), source.count, len, hidden=printed)
    if out is not None:
        with destination(out, ".csv") as target:
            scores.write_csv(batches, target, bundle.labels is not None)
        return
    columns = width()
    heading = None
    if not as_json:
        heading = scores.heading(columns) if judge is None else judge.heading(columns)
    for batch in batches:
        lines = (json_text.dumps(row.as_dict()) if as_json else row.as_text(columns) for row in batch)
        click.echo("\n".join([heading, *lines] if heading else lines))
        heading = None  # printed with the first batch, so that an unreadable image leaves one line


def _conclude(
    summary: Any, alarm: float | None, labels_file: Path | None, as_json: bool, out: Path | None
) -> dict[str, Any]:
    """Say how many alarms there are, and how well odd is told from normal; return both for a report."""
    more: dict[str, Any] = {}
    if alarm is not None:
        more["alarms"] = summary.alarms
        tell(f"{summary.alarms:,} of {summary.count:,} images raise an alarm at a false-alarm rate of {alarm:g}")
    if labels_file is not None:
        metrics = summary.metrics()
        more["detection"] = asdict(metrics)
        if not as_json:
            click.echo("\n" * (out is None) + metrics.as_text(), err=out is not None)
        elif out is None:
            click.echo(json_text.dumps({"detection": more["detection"]}))
    return more
