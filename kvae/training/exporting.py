"""Exports the bundle of a finished run to any folder."""

import logging
from dataclasses import replace
from pathlib import Path

from kvae.data import classes, datasets
from kvae.data.dataset import published
from kvae.data.held_out_split import held_out, held_out_labels
from kvae.errors import DataError
from kvae.export import bundles
from kvae.runs import files as run_files
from kvae.runs import layout
from kvae.runs.files import read_config
from kvae.training.keras_files import load_model

logger = logging.getLogger(__name__)


def export_run(run: Path, out: Path, data_dir: Path | None = None, own: Path | None = None) -> bundles.Exported:
    """Write the bundle of a run's best model into the folder `out`.

    If the run's data cannot be loaded, the bundle is written without their statistics, and a warning is logged.

    Args:
        run: the run's folder.
        out: the bundle's folder.
        data_dir: where the data set's files are; see `kvae.data.datasets.load`.
        own: where the user's own images are now, if they have moved.

    Raises:
        KvaeError: `run` is not a finished run, or the export fails its checks.
    """
    config = read_config(run)
    metrics, dataset = (run_files.read_object(run / name) for name in (layout.METRICS, layout.DATASET))
    train_images = test_images = train_labels = test_labels = None
    try:
        data = datasets.of(config if own is None else replace(config, data=str(own)), data_dir)
        if data.sha256 != dataset.get("sha256"):
            raise DataError(f"the images differ from those that {run} was trained on: sha256 {data.sha256[:12]}...")
        if config.model.conditional:
            classes.check_same(data, dataset, run)
            train_labels, test_labels = data.train.labels, held_out_labels(data, "test")
        train_images = data.train.images
        test_images = held_out(data, "test", config.is_of_bits)
    except DataError as error:
        logger.warning("the bundle will have no percentiles and no pictures of reconstructions: %s", error)
    counts: dict[str, int] = dataset.get("label_counts", {})  # of p(y), which the images need not be there for
    return bundles.export(
        load_model(run),
        out,
        dataset=published(dataset),
        metrics=metrics,
        training=config.to_publish(),
        binarize=str(config.binarize),
        labels=list(counts) if config.model.conditional else None,
        label_counts=list(counts.values()) if config.model.conditional else None,
        train_images=train_images,
        train_labels=train_labels,
        test_images=test_images,
        test_labels=test_labels,
    )
