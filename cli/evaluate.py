"""`kvae evaluate`: progress on stderr, a table or JSON on stdout."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from kvae.bundle.locate import locate
from kvae.cli import complete, labels, quality, terminal
from kvae.cli.destination import Out, check_apart
from kvae.cli.help import command
from kvae.cli.options import (
    PATH,
    data_dir_option,
    device_option,
    importance_samples_option,
    json_option,
    own_option,
    threads_option,
)
from kvae.cli.suggestions import Choice

ROWS = {
    "elbo": ("−ELBO", -1.0, "nats"),
    "distortion": ("distortion", 1.0, "nats"),
    "rate": ("rate", 1.0, "nats"),
    "nll": ("NLL", 1.0, "nats"),
    "pixel_entropy": ("entropy of the pixels", 1.0, "nats"),
    "gap": ("gap: −ELBO − NLL", 1.0, "nats"),
    "bits_per_dim": ("NLL, bits per dimension", 1.0, "bits"),
    "nll_marginal": ("−log p(x), without label", 1.0, "nats"),
    "effective_sample_size": ("effective sample size", 1.0, "draws"),
    "widening": ("proposal widened by", 1.0, "times"),
    "mutual_information": ("mutual information I(x;z)", 1.0, "nats"),
    "marginal_kl": ("marginal KL(q(z)‖p)", 1.0, "nats"),
    "active_units": ("active units", 1.0, "dimensions"),
}
"""How a metric is shown, if a model has it: its label, its sign in the table, its unit."""
BOUNDS = {"nll": "≤ ", "bits_per_dim": "≤ ", "gap": "≥ ", "nll_marginal": "≤ "}
"""How the numbers are marked that an NLL which is only an upper bound makes bounds too."""

LIKELIHOODS_ONLY = {
    "importance_samples": "--importance-samples",
    "per_image": "--per-image",
    "proposal": "--proposal",
    "test_bits": "--test-bits",
    "label": "--label",
}
"""The parameters, with their options, that --samples has no use for."""

MAX_SCALES = 128
"""Maximum number of dimensions whose scales are listed, the smallest first: a ladder can have thousands."""


@command(
    examples=[
        "kvae evaluate runs/first --against runs/second",
        "kvae evaluate my_bundle --samples 10000 --seed 1 --json",
    ],
    own={
        "Measurement": (
            "against",
            "num_samples",
            "features",
            "importance_samples",
            "proposal",
            "seed",
            "test_bits",
            "per_image",
        )
    },
)
@click.argument("model", metavar="RUN|BUNDLE", required=False, shell_complete=complete.models)
@importance_samples_option
@click.option(
    "--against", metavar="OTHER", shell_complete=complete.models, help="A second model to compare with, image by image."
)
@click.option(
    "--samples",
    "num_samples",
    metavar="N",
    type=int,
    help="Instead, measure how alike N samples from the prior are to the test images, such as 10000.",
)
@click.option(
    "--features",
    type=PATH,
    help="With --samples: an ONNX file whose output 'features' describes images. [default: a classifier of "
    "Fashion-MNIST that comes with kvae; for other images, the model's own encoder]",
)
@click.option("--per-image", type=Out(), help="Write the values of each image to this .npz.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the draws.")
@click.option(
    "--proposal",
    type=Choice(["adaptive", "posterior"]),
    default="adaptive",
    show_default=True,
    help="Draw the importance samples from the posterior, or (adaptive) from a wider one if it is far too narrow.",
)
@click.option(
    "--test-bits",
    type=Choice(["kvae", "published"]),
    default="kvae",
    show_default=True,
    help="How the test images of a model of bits were binarised: by kvae or, for fashion_mnist only, by the authors of "
    "arXiv 2209.15514.",
)
@labels.label_option(
    "For a conditional model: the label of all test images, by name or number; or best, for each the one with the "
    "highest ELBO, which makes the numbers too good. [default: their own]"
)
@own_option
@data_dir_option
@device_option
@threads_option
@json_option
@click.pass_context
def evaluate(
    context: click.Context,
    model: str | None,
    against: str | None,
    num_samples: int | None,
    features: Path | None,
    **options: Any,
) -> None:
    """Evaluate a run or a bundle on the test images.

    Measures the ELBO, NLL, rate and distortion, and how much information the codes hold; or, with --samples, the
    quality of its samples.
    """
    if num_samples is None:
        if features is not None:
            raise click.UsageError("--features is only for --samples, which measures samples; give both.")
        run_evaluation(model, against, **options)
        return
    quality.check_alone(context, LIKELIHOODS_ONLY)
    for name in LIKELIHOODS_ONLY:
        del options[name]
    quality.run_quality(model, against, num_samples, features, **options)


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
    label: str | None = None,
    test_bits: str = "kvae",
) -> None:
    """Evaluate one model, or two image by image, and print the results; see `kvae.evaluation.evaluation`."""
    from kvae.bundle import comparable
    from kvae.errors import KvaeError
    from kvae.evaluation import evaluation
    from kvae.evaluation.data import BITS, labelled_test_images, own_images, own_paths, own_splits
    from kvae.files import arrays, json_text
    from kvae.runtime.bundle import Bundle

    if per_image is not None and per_image.suffix != ".npz":
        raise KvaeError(f"{per_image}: the name must end in .npz.")
    evaluation.check_settings(importance_samples, proposal)
    paths = [locate(model)] + ([locate(against)] if against is not None else [])
    for path in paths:
        check_apart(per_image, [*filter(None, [data, data_dir]), *own_paths(path)], path)
    bundles = [Bundle.open(path, device, threads=1) for path in paths]
    if len(bundles) == 2:
        evaluation.check_comparable(bundles[0].manifest, bundles[1].manifest)
    own = data or own_images(paths[0])
    images, names, grey = labelled_test_images(bundles[0].manifest, data_dir, own, own_splits(paths[0]), test_bits)
    has_labels = any(bundle.labels is not None for bundle in bundles)  # then --label is for these
    labelled = [
        None if has_labels and bundle.labels is None else labels.of_names(bundle, names, label) for bundle in bundles
    ]
    results = []
    for path, bundle, known in zip(paths, bundles, labelled, strict=True):
        with terminal.bar(len(images), str(path)) as progress:
            results.append(
                evaluation.evaluate(bundle, images, importance_samples, seed, proposal, progress.update, known, grey)
            )
    pair = len(results) == 2
    difference = evaluation.paired(*results) if pair else None
    reason = comparable.why_no_nll(results[0].sampled, results[1].sampled) if pair else None
    only = evaluation.why_only_marginal(*results) if pair else None
    if per_image is not None:
        arrays.write_arrays(results[0].per_image, per_image)
    if as_json:
        report = {"model": str(paths[0]), "test_bits": None if grey is None else test_bits} | results[0].to_dict()
        if difference is not None:
            report["against"] = {"model": str(paths[1])} | results[1].to_dict()
            report["difference"] = {name: asdict(estimate) for name, estimate in difference.items()}
            report["not_compared"] = reason or only
        click.echo(json_text.dumps(report, indent=2))
        return
    columns = terminal.width()
    click.echo(terminal.wrapped(_heading(paths, results, None if grey is None else BITS[test_bits]), columns))
    click.echo(_table(results, difference, columns))
    if reason:
        click.echo(terminal.wrapped(f"The NLLs stand side by side without a difference: {reason}.", columns))
    if only:
        click.echo(terminal.wrapped(f"Only −log p(x) has a difference: {only}.", columns))
    for name, result in zip(_names(results), results, strict=True):
        for line in _of_family(result):
            click.echo(terminal.wrapped(f"{name}: {line}" if pair else line, columns))
    click.echo(terminal.wrapped(_scales(results[0]), columns))
    for name, result in zip(_names(results), results, strict=True):
        for warning in result.warnings:
            terminal.tell(f"Warning{f' ({name})' if pair else ''}: {warning}")


def _heading(paths: list[Path], results: list[Any], bits: str | None) -> str:
    first = results[0]
    which = f"{bits}, " if bits else ""
    lines = [
        f"{first.manifest.dataset['name']}, {len(first.loc):,} test images "
        f"({which}sha256 {first.images_sha256[:12]}...), "
        f"{first.importance_samples} importance samples, seed {first.seed}",
    ]
    for name, path, result in zip(_names(results), paths, results, strict=True):
        lines.append(
            f"{name}: {path}; numbers are {result.about}" + (f"; {result.loss_caveat}" if result.loss_caveat else "")
        )
    return "\n".join(lines)


def _names(results: list[Any]) -> list[str]:
    return ["model"] if len(results) == 1 else ["this", "other"]


def _table(results: list[Any], difference: Any, columns: int | None) -> str:
    """A row per metric: of one model, or of both with their paired difference."""
    head = ["", "", "unit"] if difference is None else ["", "this", "other", "paired difference", "unit"]
    forms = [[head, *_rows(results, difference, digits)] for digits in (3, 2)]
    return terminal.table(*forms, columns=columns, right=range(1, len(head) - 1), optional=[len(head) - 1])


def _rows(results: list[Any], difference: Any, digits: int) -> list[list[str]]:
    rows = []
    for name, (label, sign, unit) in ROWS.items():
        if not any(name in result.metrics for result in results):
            continue
        shown = 3 if unit == "bits" else digits
        cells = [
            ("" if result.nll_is_believable else BOUNDS.get(name, "")) + _cell(result.metrics[name], sign, shown)
            if name in result.metrics
            else "–"
            for result in results
        ]
        if difference is not None:
            cells.append(_cell(difference[name], sign, shown, "+") if name in difference else "–")
        rows.append([label, *cells, unit])
    return rows


def _cell(estimate: Any, sign: float, digits: int, plus: str = "") -> str:
    return f"{sign * estimate.value:{plus}.{digits}f} ± {estimate.standard_error:.{digits}f}"


def _of_family(result: Any) -> list[str]:
    """What is said of a ladder: the rate of each group, and what is left out."""
    rates = result.rate_by_group or []
    cells = [f"{number}{terminal.JOINED}{rate.value:.3g}" for number, rate in enumerate(rates)]
    return [f"rate by group, in nats: {', '.join(cells)}"] * bool(rates) + [f"{result.left_out}."] * bool(
        result.left_out
    )


def _scales(result: Any) -> str:
    """The mean posterior scale of each dimension, starting with those in use."""
    order = sorted(range(len(result.active)), key=lambda index: result.posterior_scale[index].value)
    cells = [
        f"z{index}{terminal.JOINED}{result.posterior_scale[index].value:.3g}" + " (unused)" * (not result.active[index])
        for index in order[:MAX_SCALES]
    ]
    more = f", ... ({len(order):,} dimensions in all)" if len(order) > MAX_SCALES else ""
    return "posterior scale by dimension: " + ", ".join(cells) + more
