"""`kvae train --dry-run`: what would be trained, and where it would be written."""

from pathlib import Path
from typing import Any

import click

from kvae.cli import terminal
from kvae.config import TrainConfig
from kvae.files import json_text


def tell(config: TrainConfig, recipe: str | None, out: Path | None, data_dir: Path | None, as_json: bool) -> None:
    """Print what a training with these settings would do; wrong settings, data and destinations are errors, as there.

    Args:
        config: the settings.
        recipe: where they are from.
        out: the run's folder; None for a new one.
        data_dir: where the files of a named data set are.
        as_json: whether to print an object for programs.
    """
    from kvae import settings
    from kvae.data import choice, planned
    from kvae.runs import beginning, initial

    config = choice.dense_for_tables(config)  # as for the training, before its folder is named
    if config.init_from is not None:
        initial.weights_file(config.init_from)
    folder = out or beginning.default_folder(config)
    beginning.check(folder, config)
    if config.data is not None:
        _import_what_reads(config)
    plan = planned.plan(config, data_dir, terminal.counter("reading images"))
    changed = settings.changed(plan.config)
    found = {
        "dataset": plan.config.dataset,
        "source": plan.source,
        "splits": dict(plan.splits),
        "image_shape": list(plan.image_shape),
        "num_skipped": plan.num_skipped,
        "recipe": recipe,
        "settings": changed,
        "steps": plan.num_steps,
        "run": str(folder),
    }
    text = json_text.dumps(found, indent=2) if as_json else terminal.wrapped(_as_text(plan, found), terminal.width())
    click.echo(text)


def _import_what_reads(config: TrainConfig) -> None:
    """Import TensorFlow if the images are TFRecords, which it reads."""
    from kvae.data import sources

    if "TFRecords" in sources.open_all(config).kind:
        from kvae.cli.quiet import import_tensorflow_quietly

        import_tensorflow_quietly()


def _as_text(plan: Any, found: dict[str, Any]) -> str:
    config = plan.config
    sizes = ", ".join(f"{count:,} {name}" for name, count in plan.splits.items())
    shape = " x ".join(map(str, plan.image_shape))
    skipped = f"; {plan.num_skipped:,} would be skipped" if plan.num_skipped else ""
    changed = [f"{name} {value}" for name, value in found["settings"].items() if name not in ("dataset", "data")]
    steps = f"{plan.num_steps:,}: {config.epochs:,} epochs of {plan.steps_per_epoch:,}"
    rows = {
        "data": f"{config.dataset}, {plan.source}",
        "images": f"{shape}: {sizes}{skipped}",
        "model": f"{config.model.architecture}, likelihood {config.model.likelihood}, prior {config.model.prior}",
        "recipe": found["recipe"],
        "settings": ", ".join(changed) or "the defaults",
        "steps": f"{steps}, of {config.batch_size:,} images each",
        "run": f"{found['run']}, a new folder",
    }
    lines = [f"{name:<10}{text}" for name, text in rows.items() if text]
    return "\n".join([*lines, "Nothing was trained or written; leave out --dry-run to train."])
