"""The bundle of a finished run, written anywhere else."""

import logging
from dataclasses import replace
from pathlib import Path

from kvae.data import datasets
from kvae.data.held_out_split import held_out
from kvae.errors import DataError
from kvae.export import bundles
from kvae.runs import files as run_files
from kvae.runs import layout
from kvae.runs.files import read_config
from kvae.training.keras_files import load_model

logger = logging.getLogger(__name__)


def export_run(run: Path, out: Path, data_dir: Path | None = None, own: Path | None = None) -> bundles.Exported:
    """Write the bundle of a run's best model into the folder `out`.

    Where the run's data are not to be had, it goes without their statistics, and a warning is logged.

    Args:
        run: the run's folder.
        out: the bundle's.
        data_dir: where the data set's files are; see `kvae.data.datasets.load`.
        own: where a user's own images are, if not where they were.

    Raises:
        KvaeError: `run` is no finished run, or the export fails its proofs.
    """
    config = read_config(run)
    metrics, dataset = (run_files.read_object(run / name) for name in (layout.METRICS, layout.DATASET))
    train_images = test_images = None
    try:
        data = datasets.of(config if own is None else replace(config, data=str(own)), data_dir)
        if data.sha256 != dataset.get("sha256"):
            raise DataError(f"the images are not those that {run} was trained on: sha256 {data.sha256[:12]}...")
        train_images = data.train.images
        test_images = held_out(data, "test", config.is_of_bits)
    except DataError as error:
        logger.warning("the bundle will know no percentiles, and picture no reconstructions: %s", error)
    return bundles.export(
        load_model(run),
        out,
        dataset=dataset,
        metrics=metrics,
        training=config.to_publish(),
        binarize=str(config.binarize),
        train_images=train_images,
        test_images=test_images,
    )
