"""The report on one run, an HTML page that contains its figures; made from the run's files, without TensorFlow."""

import html
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from kvae import settings
from kvae.bundle import caveats
from kvae.bundle.manifest import USED_RATE, Manifest
from kvae.config import PRIORS, TrainConfig
from kvae.errors import BundleError
from kvae.files.atomic import atomic_file
from kvae.runs import curves, diagnosis, html_page, layout
from kvae.runs.files import RunFiles, read_json, read_json_lines

NUM_PROGRESS = 4
"""The most epochs whose pictures are shown."""
NUM_SKIPPED = 20
"""The most skipped steps that are listed."""
MAX_PIXELS, MAX_PROGRESS_PIXELS = 1600, 500
"""The largest width and height of a picture in the page; larger ones are scaled down."""
MAX_TEXT = 200
"""The most characters of a value in a table."""
MAX_DEPTH = 20
"""The most objects and lists in one another that a table shows."""


def write(run: Path) -> Path:
    """Write `report.html` into a run's folder, and return its path.

    Anything that the run does not have (yet) is left out: metrics, pictures, a bundle with its posterior's statistics.

    Raises:
        KvaeError: the folder does not hold a run, one of its files is invalid, or it cannot be written to.
    """
    path = run / layout.REPORT
    text = render(run)
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="replace")
    return path


def render(run: Path) -> str:
    """The page as text; raises the same errors as `write`."""
    files = RunFiles.read(run)
    manifest = _manifest(run)
    prior = PRIORS.get(files.config.model.prior, files.config.model.prior)
    sections = [
        ("Training", _curves(files)),
        ("Samples", _picture(run / layout.SAMPLES, f"Mean images of codes drawn from the prior, {prior}.")),
        ("Reconstructions", _picture(run / layout.RECONSTRUCTIONS, "Test images, each above its reconstruction.")),
        ("During training", _progress(run / layout.PICTURES)),
        ("Latent dimensions", _dimensions(manifest, files.config)),
        ("Skipped steps", _skipped(run / layout.SKIPPED)),
        ("Data set", _table(read_json(run / layout.DATASET))),
        ("Settings", _settings(files.config)),
        ("Versions", _table(read_json(run / layout.ENVIRONMENT))),
    ]
    body = _numbers(files, manifest) + "".join(
        "\n" + html_page.section(heading, part) for heading, part in sections if part
    )
    return html_page.page(run.resolve().name, body)


def _manifest(run: Path) -> Manifest | None:
    try:
        return Manifest.read(run / layout.BUNDLE)
    except BundleError:
        return None


def _numbers(files: RunFiles, manifest: Manifest | None) -> str:
    """The first lines: test metrics and what they measure, epochs, and any caveat about the loss."""
    config = files.config
    metrics = files.metrics or (manifest.metrics if manifest else {})
    names = {"elbo": "test ELBO", "distortion": "distortion", "rate": "rate"}
    cells = [
        f"<div>{label}<b>{metrics[name]['value']:,.2f}</b>± {metrics[name]['standard_error']:.2f} nats per image</div>"
        for name, label in names.items()
        if name in metrics
    ]
    if "active_units" in metrics:
        size = manifest.latent_dim if manifest else config.model.latent_dim
        cells.append(f"<div>active units<b>{metrics['active_units']['value']:.0f}</b>of {size}</div>")
    about = [f"{files.num_epochs} of {config.num_epochs} epochs, {files.written:%Y-%m-%d %H:%M}."]
    if files.best_epoch is not None and "val_elbo" in files.history:
        elbo = files.history["val_elbo"][files.best_epoch - 1]
        about.append(f"The model is from epoch {files.best_epoch}, whose validation ELBO is {elbo:,.2f}.")
    if cells:
        numbers = caveats.about_numbers(str(config.model.likelihood), str(config.binarize))
        about.append(f"The numbers are {numbers}. ± is the standard error over the test images.")
    else:
        about.append("The run is not finished: it has no test metrics.")
    caveat = caveats.about_training(manifest.training if manifest else {})
    caveat = caveat or caveats.about_loss(config.beta, config.entropy_weight, config.free_bits)
    if caveat:
        about.append(f"{caveat[0].upper()}{caveat[1:]}.")
    about += [diagnosis.as_text(finding) for finding in _findings(files.path)]
    for note in filter(None, (caveats.about_schedule(config.to_dict()), caveats.about_shift(config.to_dict()))):
        about.append(f"{note[0].upper()}{note[1:]}.")
    words = " ".join(f"<span>{html.escape(shlex.quote(word))}</span>" for word in settings.command(config))
    return (
        f'<div class="numbers">{"".join(cells)}</div>\n<p>{html.escape(" ".join(about))}</p>\n'
        f"<p>To make it again:</p>\n<pre>{words}</pre>"
    )


def _findings(run: Path) -> list[dict[str, Any]]:
    """What the run's training found out about itself; empty for a run from before it did."""
    found = read_json(run / layout.DIAGNOSIS)
    findings = found.get("findings") if isinstance(found, dict) else None
    return [finding for finding in findings if isinstance(finding, dict)] if isinstance(findings, list) else []


def _curves(files: RunFiles) -> str:
    names = [name for name in curves.CURVES if {name, f"val_{name}"} <= set(files.history)]
    if not files.num_epochs or not names:
        return ""
    captions = {
        "elbo": "A bound on log p(x): high is good.",
        "distortion": "−E log p(x|z): low is faithful.",
        "rate": "KL(q(z|x) ‖ p(z)): what the code carries.",
    }
    figures = "".join(html_page.svg(curves.curve(files.history, name), captions[name]) for name in names)
    return f'<div class="figures">{figures}</div>'


def _picture(path: Path, caption: str, limit: int = MAX_PIXELS) -> str:
    """A PNG of the run with a caption below it; empty if it is missing or unreadable."""
    try:
        with Image.open(path) as image:
            image.load()
            image.thumbnail((limit, limit))
            return html_page.captioned(html_page.png(image, caption), caption)
    except (OSError, ValueError, Image.DecompressionBombError):
        return ""


def _progress(folder: Path) -> str:
    """Samples and reconstructions of a few epochs, including the first and the last."""
    parts = []
    for name, text, style in (("samples", "Samples", "steps"), ("reconstructions", "Reconstructions", "pairs")):
        paths = sorted(folder.glob(f"{name}-[0-9]*.png"), key=_epoch)
        last = len(paths) - 1
        steps = max(1, min(NUM_PROGRESS - 1, last))
        shown = [paths[round(step * last / steps)] for step in range(steps + 1)] if last > 0 else paths
        cells = "".join(_picture(path, f"{text} after epoch {_epoch(path)}", MAX_PROGRESS_PIXELS) for path in shown)
        if cells:
            parts.append(f'<div class="{style}">{cells}</div>')
    return "\n".join(parts)


def _epoch(path: Path) -> int:
    digits = path.stem.rpartition("-")[2]
    return int(digits) if digits.isdecimal() else 0


def _dimensions(manifest: Manifest | None, config: TrainConfig) -> str:
    if manifest is None or manifest.posterior is None:
        return ""
    posterior, used = manifest.posterior, manifest.used_dimensions() or []
    scale = html_page.svg(
        curves.scales(posterior["scale_mean"], posterior["rate"], config.entropy_weight),
        f"Over {posterior['num_images']:,} training images. A dimension that the decoder does not use has the scale "
        f"√λ, where λ is the weight of the posterior's entropy in the loss (here {config.entropy_weight:g}); one in "
        f"use has less.",
    )
    text = f"{len(used)} of {manifest.latent_dim} dimensions carry {USED_RATE} nats or more."
    return f'<div class="figures">{scale}{html_page.svg(curves.rates(posterior["rate"]), text)}</div>'


def _skipped(path: Path) -> str:
    """The steps that were not applied, as the run recorded them."""
    steps = read_json_lines(path)
    if not steps:
        return ""
    names = list(dict.fromkeys(name for step in steps for name in step))
    head = "".join(f"<th>{html.escape(name)}</th>" for name in names)
    rows = "".join(
        "<tr>" + "".join(f"<td>{html.escape(_text(step.get(name, '')))}</td>" for name in names) + "</tr>\n"
        for step in steps[:NUM_SKIPPED]
    )
    more = f" The first {NUM_SKIPPED} of them:" if len(steps) > NUM_SKIPPED else ""
    return (
        f"<p>{len(steps)} steps were not applied, because the loss or a gradient was not finite.{more}</p>\n"
        f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>\n{rows}</tbody></table></div>'
    )


def _settings(config: TrainConfig) -> str:
    different = settings.changed(config)
    rows = [(name, _text(value), name in different) for name, value in settings.flat(config).items()]
    return "<p>Settings that differ from the defaults are highlighted.</p>\n" + html_page.rows_table(rows)


def _table(values: Any) -> str:
    if not isinstance(values, dict) or not values:
        return ""
    return html_page.rows_table([(name, _text(value), False) for name, value in values.items()])


def _text(value: Any, depth: int = 0) -> str:
    """A JSON value for people: numbers with thousands separators, a long list cut short with its length."""
    if depth > MAX_DEPTH:
        return "…"
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {_text(inner, depth + 1)}" for name, inner in value.items()) or "–"
    if isinstance(value, list):
        shown = ", ".join(_text(inner, depth + 1) for inner in value[:10]) or "–"
        return shown if len(value) <= 10 else f"{shown}, … ({len(value):,} in all)"
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}…"
