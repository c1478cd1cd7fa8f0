"""`kvae evaluate`: progress on stderr, a table or JSON on stdout."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from kvae.bundle.locate import locate
from kvae.cli.options import PATH, data_dir_option, device_option, importance_samples_option, json_option, own_option
from kvae.cli.terminal import bar

ROWS = {
    "elbo": ("−ELBO", -1.0, "nats"),
    "distortion": ("distortion", 1.0, "nats"),
    "rate": ("rate", 1.0, "nats"),
    "nll": ("NLL", 1.0, "nats"),
    "gap": ("gap: −ELBO − NLL", 1.0, "nats"),
    "bits_per_dim": ("NLL per dimension", 1.0, "bits"),
    "effective_sample_size": ("effective sample size", 1.0, "draws"),
    "widening": ("proposal widened by", 1.0, "times"),
    "mutual_information": ("mutual information I(x;z)", 1.0, "nats"),
    "marginal_kl": ("marginal KL(q(z)‖p)", 1.0, "nats"),
    "active_units": ("active units", 1.0, "dimensions"),
}
"""How a metric is shown: its label, its sign in the table, its unit."""


@click.command()
@click.argument("model", metavar="RUN|BUNDLE", required=False)
@importance_samples_option
@click.option("--against", metavar="OTHER", help="A second model to compare with, image by image.")
@click.option("--per-image", type=PATH, help="Write the values of each image to this .npz.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the draws.")
@click.option(
    "--proposal",
    type=click.Choice(["adaptive", "posterior"]),
    default="adaptive",
    show_default=True,
    help="Draw the importance samples from the posterior, or (adaptive) from a wider one if it is far too narrow.",
)
@own_option
@data_dir_option
@device_option
@json_option
def evaluate(model: str | None, against: str | None, **options: Any) -> None:
    """Evaluate a run or a bundle on the test images.

    Measures the ELBO, NLL, rate and distortion, and how much information the codes hold.
    """
    run_evaluation(model, against, **options)


def run_evaluation(
    model: str | None,
    against: str | None,
    importance_samples: int,
    per_image: Path | None,
    seed: int,
    proposal: str,
    data_dir: Path | None,
    device: str,
    as_json: bool,
    data: Path | None = None,
) -> None:
    """Evaluate one model, or two image by image, and print the results; see `kvae.evaluation.evaluation`."""
    from kvae.errors import KvaeError
    from kvae.evaluation import evaluation
    from kvae.evaluation.data import own_images, test_images
    from kvae.files import arrays
    from kvae.runtime.bundle import Bundle

    if per_image is not None and per_image.suffix != ".npz":
        raise KvaeError(f"{per_image}: the name must end in .npz.")
    evaluation.check_settings(importance_samples, proposal)
    paths = [locate(model)] + ([locate(against)] if against is not None else [])
    bundles = [Bundle.open(path, device, threads=1) for path in paths]
    if len(bundles) == 2:
        evaluation.check_comparable(bundles[0].manifest, bundles[1].manifest)
    images = test_images(bundles[0].manifest, data_dir, data or own_images(paths[0]))
    results = []
    for path, bundle in zip(paths, bundles, strict=True):
        with bar(len(images), str(path)) as progress:
            results.append(evaluation.evaluate(bundle, images, importance_samples, seed, proposal, progress.update))
    difference = evaluation.paired(*results) if len(results) == 2 else None
    if per_image is not None:
        arrays.write_arrays(results[0].per_image, per_image)
    if as_json:
        report = {"model": str(paths[0])} | results[0].to_dict()
        if difference is not None:
            report["against"] = {"model": str(paths[1])} | results[1].to_dict()
            report["difference"] = {name: asdict(estimate) for name, estimate in difference.items()}
        click.echo(json.dumps(report, indent=2))
        return
    click.echo(_heading(paths, results))
    click.echo(_table(results, difference))
    click.echo(_scales(results[0]))
    for path, result in zip(paths, results, strict=True):
        for warning in result.warnings:
            click.echo(f"Warning{f' ({path})' if len(results) == 2 else ''}: {warning}", err=True)


def _heading(paths: list[Path], results: list[Any]) -> str:
    first = results[0]
    lines = [
        f"{first.manifest.dataset['name']}, {len(first.loc):,} test images (sha256 {first.images_sha256[:12]}...), "
        f"{first.importance_samples} importance samples, seed {first.seed}",
    ]
    for path, result in zip(paths, results, strict=True):
        lines.append(
            f"model: {path}; numbers are {result.about}" + (f"; {result.loss_caveat}" if result.loss_caveat else "")
        )
    return "\n".join(lines)


def _table(results: list[Any], difference: Any) -> str:
    rows = []
    for name, (label, sign, unit) in ROWS.items():
        row = f"{label:<28}"
        for result in results:
            metric = result.metrics[name]
            row += f"{sign * metric.value:>10.3f} ± {metric.standard_error:<7.3f}"
        if difference is not None and name in difference:
            row += f"{sign * difference[name].value:>+10.3f} ± {difference[name].standard_error:<7.3f}"
        elif difference is not None:
            row += " " * 20
        rows.append(f"{row} {unit}")
    if difference is not None:
        rows.insert(0, f"{'':<28}{'this':>10}{'':<10}{'other':>10}{'':<10}{'difference':>10}, paired")
    return "\n".join(rows)


def _scales(result: Any) -> str:
    """The mean posterior scale of each dimension, starting with those in use."""
    order = sorted(range(len(result.active)), key=lambda index: result.posterior_scale[index].value)
    cells = [
        f"z{index} {result.posterior_scale[index].value:.3g}{'' if result.active[index] else ' (unused)'}"
        for index in order
    ]
    return "posterior scale by dimension: " + ", ".join(cells)
