"""Encode, score and sample in shards, for millions of images: what --engine ray does."""

import contextlib
import io
from collections.abc import Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any

import click

from kvae.cli import labels
from kvae.cli.destination import STDOUT, check_apart
from kvae.cli.suggestions import Choice
from kvae.cli.terminal import shown, tell_skipped, tell_which
from kvae.errors import KvaeError
from kvae.files import json_text
from kvae.files.reading import Reading

engine_option = click.option(
    "--engine",
    type=Choice(["local", "ray"]),
    default="local",
    show_default=True,
    help="ray: use every core, or the cluster at RAY_ADDRESS; --out is a folder of parts, and only missing ones are "
    "made.",
)


def encode_or_score(
    verb: str,
    model: str | None,
    images: Sequence[Path],
    out: Path | None,
    label: str | None,
    resize: bool,
    reading: Reading,
    max_bad: int,
    device: str,
    as_json: bool,
) -> None:
    """Encode or score images into a folder of parts."""
    from kvae.bundle.locate import locate
    from kvae.runtime import bulk, ray_engine
    from kvae.runtime.bundle import Bundle

    ray_engine.check_installed()
    path, folder = locate(model), _folder(out)
    check_apart(folder, images, path)
    known = labels.of_files(Bundle.open(path, "cpu"), images, resize, reading, label)
    job, pieces = bulk.of_images(verb, path, images, folder, resize, reading, device, max_bad=max_bad, label=known)
    _make(job, pieces, {"out": str(folder), "model": str(path)}, model, as_json)


def sample(
    model: str | None,
    n: int,
    label: str | None,
    out: Path | None,
    seed: int,
    temperature: Any,
    device: str,
    as_json: bool,
) -> None:
    """Sample images into a folder of parts."""
    from kvae.bundle.locate import locate
    from kvae.runtime import bulk, ray_engine
    from kvae.runtime.bundle import Bundle

    ray_engine.check_installed()
    path, folder = locate(model), _folder(out)
    check_apart(folder, [], path)
    if labels.is_all(Bundle.open(path, "cpu"), label):
        raise KvaeError(
            "--label all draws a row per class, not parts of a folder: leave out --engine, or name a label."
        )
    job = bulk.of_samples(path, n, folder, seed, temperature, device, label=label)
    _make(job, None, {"out": str(folder), "model": str(path), "seed": seed}, model, as_json)


def _make(job: Any, images: Any, names: dict[str, Any], model: str | None, as_json: bool) -> None:
    from kvae.runtime import ray_engine, shards

    parts = len(job.plan.stops)
    with shards.opened(job.out, job.plan) as missing:
        if len(missing) < parts:
            click.echo(f"{parts - len(missing)} of {parts} parts exist already.", err=True)
        left = sum(job.plan.stops[shard] - job.plan.start(shard) for shard in missing)
        # Ray prints what it hears of dead workers on stdout, which is for results. After Ctrl-C, too, the job is closed
        # here, so that Ray is shut down before the program ends.
        with (
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.closing(ray_engine.run(job, missing, images)) as done,
        ):
            skipped = [bad for made in shown(done, left, attrgetter("images")) for bad in made.skipped]
    tell_skipped(skipped, left)
    tell_which(model, job.model)
    report = names | {"n": job.plan.count, "parts": parts, "made": len(missing)}
    if images is not None:
        report |= {"skipped": [bad._asdict() for bad in skipped]}
    click.echo(json_text.dumps(report) if as_json else names["out"])


def _folder(out: Path | None) -> Path:
    if out is None or out == STDOUT:
        raise KvaeError("--engine ray writes a folder of parts; name it with --out.")
    return out
