"""The same model and seed under several settings: trained, or reused from an earlier sweep, then measured.

Each setting has its own run in the sweep's folder, named after the varied settings and a hash of all settings. A
finished run is reused as it is; an interrupted one resumes from its last checkpoint.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras

from kvae.bundle import comparable
from kvae.bundle.manifest import Manifest
from kvae.comparison.measuring import Result, measure
from kvae.comparison.settings import Setting, reference
from kvae.comparison.verdict import verdict
from kvae.data import choice, classes, datasets
from kvae.errors import DataError, KvaeError
from kvae.evaluation import evaluation
from kvae.files import apart
from kvae.runs import files as run_files
from kvae.runs import layout
from kvae.training import making, resuming


def compare(
    settings: Sequence[Setting],
    out: Path,
    data_dir: Path | None = None,
    importance_samples: int = 500,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    announce: Callable[[str], None] = lambda line: None,
) -> list[Result]:
    """Train the missing runs, measure all of them, and write `results.json` into the folder `out`.

    Args:
        settings: the points of the sweep. The reference for paired differences is the first whose loss is the negative
            ELBO; if there is none, the first.
        out: the sweep's folder, created if it is missing.
        data_dir: where the data set's files are; see `kvae.data.datasets.load`.
        importance_samples: draws per test image.
        callbacks: Keras callbacks for training each run.
        announce: called with a line for each run as it begins.

    Raises:
        KvaeError: bad data, a run that diverges, or a folder that cannot be written to.
    """
    evaluation.check_settings(importance_samples, "adaptive")  # fail before hours of training
    _check_ours(out)
    for setting in settings:
        apart.check(out, *setting.config.own_paths)  # before anything is decoded
    settled = []
    for setting in settings:
        data = datasets.of(setting.config, data_dir)
        setting = replace(setting, config=choice.settle(setting.config, data))
        settled.append(setting)
        choice.check_size(setting.config, len(data.train.images))
        choice.check_shift(setting.config, data.image_shape)
        _check_same_images(out / setting.folder, data)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise KvaeError(f"cannot write {out}: {error.strerror}.") from None
    results = []
    for number, setting in enumerate(settled, 1):
        run = out / setting.folder
        _make(setting, run, f"{number}/{len(settings)} {setting.name}", data_dir, callbacks, announce)
        results.append(measure(setting, run, data_dir, importance_samples))
    results = _against_reference(results)
    run_files.write_json(out / layout.COMPARISON, as_json(results))
    return results


def _make(
    setting: Setting,
    run: Path,
    line: str,
    data_dir: Path | None,
    callbacks: Sequence[keras.callbacks.Callback],
    announce: Callable[[str], None],
) -> None:
    """Train a run, go on with one that was interrupted, or leave a finished one as it is."""
    if run_files.is_finished(run):
        announce(f"{line}: using {run}")
        return
    keras.utils.clear_session()
    if (run / layout.CONFIG).exists():  # interrupted, with the same settings: their hash is in the name
        announce(f"{line}: resuming")
        resuming.resume(run, data_dir, callbacks)
    else:
        announce(line)
        making.train(setting.config, run, data_dir, callbacks)


def as_json(results: Sequence[Result]) -> dict[str, Any]:
    """The verdict and the results as JSON values."""
    return {"verdict": verdict(results), "results": [result.to_dict() for result in results]}


def _check_ours(out: Path) -> None:
    """Raise KvaeError if a folder has files with the names of the results that no comparison wrote."""
    has_report, has_results = (os.path.lexists(out / name) for name in (layout.REPORT, layout.COMPARISON))
    if has_results:
        found = run_files.read_json(out / layout.COMPARISON)
        is_ours = isinstance(found, dict) and isinstance(found.get("results"), list)
    else:
        is_ours = not has_report
    if not is_ours:
        name = layout.COMPARISON if has_results else layout.REPORT
        raise KvaeError(f"{out / name} was not written by kvae compare; it is left unchanged. Choose another --out.")


def _check_same_images(run: Path, data: datasets.Dataset) -> None:
    """Raise DataError if a finished run was trained on other images than its path holds now."""
    if run_files.is_finished(run) and Manifest.read(run / layout.BUNDLE).dataset["sha256"] != data.sha256:
        raise DataError(
            f"the images of {data.name} have changed since {run} was trained. Use another --out or remove it."
        )
    if run_files.is_finished(run) and run_files.read_config(run).model.conditional:
        classes.check_same(data, run_files.read_object(run / layout.DATASET), run)


def _against_reference(results: list[Result]) -> list[Result]:
    base = results[reference([result.setting for result in results])].evaluation
    compared = []
    for result in results:
        ours = result.evaluation
        if ours is base:
            compared.append(result)
            continue
        reason = comparable.why_not(ours.measured, base.measured)
        differences = {} if reason else evaluation.paired(ours, base)
        reason = reason or comparable.why_no_nll(ours.sampled, base.sampled)
        compared.append(replace(result, against_reference=differences, not_compared=reason))
    return compared
