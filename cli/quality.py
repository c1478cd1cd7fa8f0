"""`kvae evaluate --samples`: how good samples are, as a table or JSON."""

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from kvae.bundle.locate import locate
from kvae.cli import terminal

ROWS = {
    "frechet_distance": "Fréchet {kind} distance",
    "kernel_distance": "kernel distance",
    "density": "density",
    "coverage": "coverage",
    "nearest_training": "distance to nearest training image",
    "near_training": "nearer than 99 % of test images",
}
"""How a number is shown."""
SHARES = ("near_training",)
"""The numbers that are shown in percent."""
READING = (
    "The nearer to the floor, the better. A density above it means that samples crowd where images are densest; far "
    "more than 1 % in the last row means that training images are copied."
)


def check_alone(context: click.Context, alone: dict[str, str]) -> None:
    """Raise UsageError if an option was given that --samples does not use.

    Args:
        context: the command's.
        alone: the parameters, and the names of their options.
    """
    for name, option in alone.items():
        if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            raise click.UsageError(f"{option} is about likelihoods, which --samples does not measure; leave one out.")


def run_quality(
    model: str | None,
    against: str | None,
    num_samples: int,
    features: Path | None,
    seed: int,
    data_dir: Path | None,
    device: str,
    as_json: bool,
    data: Path | None = None,
) -> None:
    """Measure the samples of one model, or of two, and print the results; see `kvae.evaluation.sample_quality`."""
    from kvae.errors import KvaeError
    from kvae.evaluation import choose_features, prior_samples, quality
    from kvae.evaluation.data import data_of, own_images, own_splits
    from kvae.files import json_text
    from kvae.runtime.bundle import Bundle

    prior_samples.check_settings(num_samples, seed)
    paths = [locate(model)] + ([locate(against)] if against is not None else [])
    bundles = [Bundle.open(path, device) for path in paths]
    if len({bundle.manifest.dataset["sha256"] for bundle in bundles}) > 1:
        names = " and ".join(bundle.manifest.dataset["name"] for bundle in bundles)
        raise KvaeError(f"the models cannot be compared: they were trained on different images ({names}).")
    images = data_of(bundles[0].manifest, data_dir, data or own_images(paths[0]), own_splits(paths[0]))
    extractor = choose_features(bundles[0], images, features)
    if against is not None and extractor.sha256 is None:
        raise KvaeError(
            "the samples cannot be compared: kvae has no classifier of these images, and each model would be measured "
            "by its own encoder. Give a network of features with --features."
        )
    results = []
    for path, bundle in zip(paths, bundles, strict=True):
        with terminal.bar(prior_samples.num_seen(images, num_samples), str(path)) as progress:
            results.append(prior_samples.sample_quality(bundle, images, num_samples, seed, extractor, progress.update))
    difference = quality.difference(*results) if against is not None else None
    if as_json:
        report = {"model": str(paths[0])} | results[0].to_dict()
        if difference is not None:
            report["against"] = {"model": str(paths[1])} | results[1].to_dict()
            report["difference"] = {name: asdict(estimate) for name, estimate in difference.items()}
        click.echo(json_text.dumps(report, indent=2))
        return
    columns = terminal.width()
    click.echo(terminal.wrapped(_heading(paths, results), columns))
    click.echo(_table(results, difference, columns))
    for line in [READING, *_classes(results)]:
        click.echo(terminal.wrapped(line, columns))


def _names(results: list[Any]) -> list[str]:
    return ["samples"] if len(results) == 1 else ["this", "other"]


def _heading(paths: list[Path], results: list[Any]) -> str:
    first = results[0]
    models = [
        f"{'model' if len(results) == 1 else name}: {path}; {result.about}"
        for name, path, result in zip(_names(results), paths, results, strict=True)
    ]
    paired = "difference: this − other, paired: their errors share the test images"
    return "\n".join(
        [
            f"{first.dataset}, seed {first.seed}; ± is the jackknife's standard error",
            *models,
            f"measured on: {first.num_features} {first.features}",
            f"floor: {first.num_floor:,} training images in place of samples; in the last two rows, the test images",
            *([paired] if len(results) == 2 else []),
        ]
    )


def _table(results: list[Any], difference: dict[str, Any] | None, columns: int | None) -> str:
    head = ["", *_names(results), *(["difference"] if difference else []), "floor"]
    rows = [head]
    for name, label in ROWS.items():
        estimates = [result.metrics[name] for result in results]
        cells = [_cell(name, estimate) for estimate in estimates]
        if difference:
            cells.append(_cell(name, difference[name], "+"))
        rows.append([label.format(kind=results[0].kind), *cells, _cell(name, results[0].floor[name])])
    return terminal.table(rows, columns=columns, right=range(1, len(head)))


def _cell(name: str, estimate: Any, plus: str = "", percent: str = " %") -> str:
    """A number with its standard error, of which two digits are shown."""
    factor, unit = (100.0, percent) if name in SHARES else (1.0, "")
    value, error = factor * estimate.value, factor * estimate.standard_error
    if error == 0.0:
        return f"{value:{plus}.3g}{unit}"
    digits = min(max(0, 1 - math.floor(math.log10(error))), 9)
    return f"{value:{plus}.{digits}f} ± {error:.{digits}f}{unit}"


def _classes(results: list[Any]) -> list[str]:
    """The share of each class among the samples of each model, and among the test images."""
    lines = []
    for name, result in zip(_names(results), results, strict=True):
        shares = [
            f"{label} {_cell(SHARES[0], samples, percent='')} ({100 * images.value:.1f})".replace(" ", terminal.JOINED)
            for label, (samples, images) in (result.classes or {}).items()
        ]
        if shares:
            lines.append(f"classes of {name}, in % (and of test images): {', '.join(shares)}")
    return lines
