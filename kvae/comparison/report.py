"""A comparison as one HTML page that contains its figures and opens offline."""

import html
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from kvae import __version__
from kvae.comparison import figures
from kvae.comparison.measuring import Result
from kvae.comparison.verdict import group_reference, groups, verdict
from kvae.evaluation.estimates import Estimate
from kvae.files import pictures
from kvae.files.atomic import atomic_file
from kvae.runs import html_page

_ROWS: list[tuple[str, str, Callable[[Result], Estimate | None]]] = [
    (
        "loss",
        "what training minimised; losses of different weights are on different scales",
        lambda result: result.loss,
    ),
    ("−ELBO", "distortion + rate: bounds −log p(x), whatever the loss", lambda result: _metric(result, "elbo", -1)),
    ("distortion", "−E log p(x|z)", lambda result: _metric(result, "distortion")),
    ("rate", "KL(q(z|x) ‖ p(z))", lambda result: _metric(result, "rate")),
    ("NLL", "−log p(x), by importance sampling", lambda result: _metric(result, "nll")),
    ("entropy of the pixels", "no model's NLL is below it", lambda result: _metric(result, "pixel_entropy")),
    ("NLL − reference", "paired, image by image", lambda result: result.against_reference.get("nll")),
    ("effective sample size", "draws", lambda result: _metric(result, "effective_sample_size")),
    ("proposal widened", "factor on the posterior's scale, for the NLL", lambda result: _metric(result, "widening")),
    ("active units", "latent dimensions in use", lambda result: _metric(result, "active_units")),
    ("I(x;z)", "mutual information", lambda result: _metric(result, "mutual_information")),
    ("KL(q(z) ‖ p)", "marginal KL", lambda result: _metric(result, "marginal_kl")),
    (
        "samples from the prior",
        "Fréchet classifier distance of mean images from grey test images; lower is better",
        lambda result: result.sample_quality.get("frechet_distance"),
    ),
    (
        "coverage by samples from the prior",
        "share of test images that have a sample nearby; higher is better",
        lambda result: result.sample_quality.get("coverage"),
    ),
    (
        "samples from the fitted density",
        "Fréchet classifier distance, z from a Gaussian fitted to codes",
        lambda result: result.fitted_quality.get("frechet_distance"),
    ),
    (
        "coverage by samples from the fitted density",
        "likewise",
        lambda result: result.fitted_quality.get("coverage"),
    ),
]


def write(results: Sequence[Result], path: Path, title: str, command: str) -> None:
    """Write the page.

    Args:
        results: from `kvae.comparison.sweeps.compare`, at least one.
        path: the .html file, replaced if it exists.
        title: heading of the page.
        command: the command that reproduces the page.

    Raises:
        KvaeError: the file cannot be written.
    """
    with atomic_file(path) as temporary:
        temporary.write_text(render(results, title, command), encoding="utf-8")


def render(results: Sequence[Result], title: str, command: str) -> str:
    """The page as text; arguments as for `write`."""
    alike = groups(results)
    plots = [
        *(("The loss, the bound and the likelihood" + _of_group(group, alike), figures.objectives(group),
           "A loss to the left of an estimated NLL is not a bound: it promises more than the model achieves. A hollow "
           "triangle is an NLL that is only known to be at most this.") for group in alike),
        ("Posterior scales", figures.posterior_scales(results),
         "In theory, a dimension that the decoder does not use has σ = √λ, where λ is the weight of the posterior's "
         "entropy in the loss (1 for the KL); one in use has less."),
        *(("Rate and distortion" + _of_group(group, alike), figures.rate_distortion(group),
           "Left: a short code. Low: a faithful one.") for group in alike),
        ("The aggregated posterior against the prior", figures.aggregated_posteriors(results),
         "One draw from the posterior of each of up to 1,000 test images, in the two dimensions whose means vary most. "
         "Samples from the prior fall inside the circles, whether there are codes there or not. If the codes fill a "
         "region too small to see, an inset enlarges it."),
        ("Training", figures.histories(results), "On the validation images, at the full weights, after each epoch."),
    ]  # fmt: skip
    sections = [html_page.section(heading, html_page.svg(figure, caption)) for heading, figure, caption in plots]
    grids = (
        ("Reconstructions", "Each test image, above its reconstruction.", _reconstructions),
        ("Samples from the prior", "What the model was trained for: z drawn from N(0, I), decoded to the mean image.",
         _grid("samples")),
        ("Samples from a fitted density",
         "z drawn from a Gaussian fitted to the codes of training images after training.", _grid("fitted")),
    )  # fmt: skip
    for heading, caption, draw in grids:
        cells = "".join(
            html_page.captioned(html_page.png(draw(result), f"{heading}, {result.setting.name}"), result.setting.name)
            for result in results
            if result.evaluation.manifest.image_shape[-1] in (1, 3)
        )
        sections.append(html_page.section(heading, f'<p>{caption}</p><div class="grids">{cells}</div>'))
    about = (
        f"{_measured_on(results)}, seed {_listed(result.setting.config.seed for result in results)}; numbers are "
        f"{about_numbers(results)}. ± is the standard error over images; it includes neither bias, nor how other seeds "
        f"would have trained."
    )
    body = (
        f"<p><strong>{html.escape(verdict(results))}</strong></p>\n<p>{html.escape(about)}</p>\n"
        f"<p>Made by kvae {__version__} with <code>{html.escape(command)}</code></p>\n"
        f"{html_page.section('Numbers', _table(results) + _notes(results))}\n" + "\n".join(sections)
    )
    return html_page.page(title, body)


def about_numbers(results: Sequence[Result]) -> str:
    """What the numbers of a comparison are, in words; for each setting if they are not all on one scale."""
    if len(groups(results)) == 1:
        return "; ".join(dict.fromkeys(result.evaluation.about for result in results))
    each = "; ".join(
        f"{result.setting.name}: {result.evaluation.about} of {result.setting.config.dataset}" for result in results
    )
    return f"not on one scale, and not all can be compared ({each})"


def _measured_on(results: Sequence[Result]) -> str:
    sets = _listed(f"{result.setting.config.dataset}, {len(result.evaluation.loc):,} test images" for result in results)
    return f"{sets}, {_listed(result.evaluation.importance_samples for result in results)} importance samples"


def _listed(values: Iterable[object]) -> str:
    """The different values, in their order."""
    return ", ".join(dict.fromkeys(map(str, values)))


def _of_group(group: Sequence[Result], alike: Sequence[Sequence[Result]]) -> str:
    """The end of a heading, if there is a figure for each group."""
    return "" if len(alike) == 1 else ": " + "; ".join(result.setting.name for result in group)


def _metric(result: Result, name: str, sign: float = 1.0) -> Estimate | None:
    """A metric of an evaluation; None if it has none of this name, as that of a ladder has no mutual information."""
    metric = result.evaluation.metrics.get(name)
    return None if metric is None else Estimate(sign * metric.value, metric.standard_error)


def _table(results: Sequence[Result]) -> str:
    head = "".join(f"<th>{html.escape(result.setting.name)}</th>" for result in results)
    rows = "".join(
        f"<tr><td>{html.escape(name)}<br><small>{html.escape(about)}</small></td>"
        + "".join(
            f"<td>{'≤ ' if name == 'NLL' and not result.evaluation.nll_is_believable else ''}"
            f"{_cell(estimate_of(result))}</td>"
            for result in results
        )
        + "</tr>\n"
        for name, about, estimate_of in _ROWS
        if any(estimate_of(result) is not None for result in results)
    )
    bounds = "".join(f"<td>{'no' if result.evaluation.loss_caveat else 'yes'}</td>" for result in results)
    return (
        f'<div class="wide"><table>\n<thead><tr><th></th>{head}</tr></thead>\n<tbody>\n'
        f"<tr><td>is the loss the −ELBO?</td>{bounds}</tr>\n{rows}</tbody></table></div>\n"
        f"<p><small>Nats per image unless another unit is given. ≤: an upper bound, because the effective sample size "
        f"is too small. The −ELBO is an upper bound too: a lower one is not a lower NLL.</small></p>"
    )


def _cell(estimate: Estimate | None) -> str:
    if estimate is None:
        return "–"
    digits = 2 if abs(estimate.value) < 1000 else 0
    return f"{estimate.value:,.{digits}f}<br><small>± {estimate.standard_error:.{digits}f}</small>"


def _notes(results: Sequence[Result]) -> str:
    """Notes on each setting: losses that are not bounds, and the evaluation's warnings."""
    reference = group_reference(results)
    base = reference.setting.name
    caveats = "".join(
        f"<li>{html.escape(result.setting.name)}: {html.escape(result.evaluation.loss_caveat)}</li>\n"
        for result in results
        if result.evaluation.loss_caveat
    )
    reasons = "".join(f"<li>{html.escape(text)}</li>\n" for text in _not_compared(results, reference))
    warnings = "".join(
        f"<li>{html.escape(result.setting.name)}: {html.escape(text)}</li>\n"
        for result in results
        for text in result.evaluation.warnings
    )
    return (
        f"<p>The reference is {html.escape(base)}.</p>\n<ul>\n{caveats}{reasons}</ul>\n"
        f"<details open><summary>Warnings of the evaluation</summary>\n<ul>\n{warnings}</ul>\n</details>"
    )


def _not_compared(results: Sequence[Result], reference: Result) -> list[str]:
    """Why differences from the reference are missing: each reason once, with the settings that it holds for."""
    found: dict[str, list[str]] = {}
    for result in results:
        if result.not_compared:
            found.setdefault(result.not_compared, []).append(result.setting.name)
    base = reference.setting.name
    alike = {result.setting.name for result in results if "elbo" in result.against_reference}
    return [
        f"NLL not subtracted from that of {base}, {', '.join(names)}: {reason}"
        if alike.issuperset(names)
        else f"not compared with {base}, {', '.join(names)}: {reason}"
        for reason, names in found.items()
    ]


def _reconstructions(result: Result) -> Image.Image:
    return pictures.reconstructions(result.pictures["originals"], result.pictures["reconstructions"], columns=8)


def _grid(name: str) -> Any:
    return lambda result: pictures.grid(result.pictures[name], columns=8)
