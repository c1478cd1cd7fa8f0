"""What is made from a run's best model: its metrics, its bundle, its pictures and its report."""

from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kvae import likelihoods
from kvae.bundle import noise
from kvae.config import TrainConfig
from kvae.data import classes, datasets
from kvae.data.held_out_split import held_out, held_out_labels
from kvae.errors import KvaeError
from kvae.evaluation import Evaluation, evaluation
from kvae.evaluation.data import labelled_test_images, own_images, own_splits
from kvae.evaluation.estimates import Estimate
from kvae.export import bundles
from kvae.files import pictures
from kvae.runs import curves, diagnosis, layout
from kvae.runs import files as run_files
from kvae.runs import report as run_report
from kvae.runs.diagnosis import Finding
from kvae.runtime import previews
from kvae.runtime.bundle import Bundle
from kvae.training.effective_beta import effective_beta
from kvae.training.keras_files import load_model

TEST_DRAWS = 10
"""Draws from each test image's posterior for a run's metrics; `kvae evaluate` takes more, and reports the NLL."""
EFFECTIVE_BETA_IMAGES = 1000
NUM_PICTURED = 64
"""Samples, and images with their reconstructions, in a run's pictures."""


@dataclass(frozen=True)
class Run:
    """A finished run."""

    path: Path
    metrics: dict[str, Estimate]
    """`elbo`, `distortion` and `rate` (nats per test image), and `active_units`."""
    effective_beta: float
    """The regulariser's weight in the loss; see `kvae.training.effective_beta`."""
    exported: bundles.Exported
    findings: list[Finding] = field(default_factory=list)
    """What to know about the training, such as a collapse; see `kvae.runs.diagnosis`."""

    @cached_property
    def bundle(self) -> Bundle:
        """The exported model, which encodes, decodes and scores too."""
        return Bundle.open(self.exported.path)

    def sample(self, n: int = 64, seed: int = 0, **arguments: Any) -> NDArray[np.float32]:
        """Images drawn from the model, `(n, height, width, channels)` in [0, 1]; see `kvae.runtime.Bundle.sample`."""
        return self.bundle.sample(n, seed, **arguments)

    def evaluate(
        self, importance_samples: int = 500, seed: int = 0, data_dir: str | Path | None = None, **arguments: Any
    ) -> Evaluation:
        """ELBO, NLL and more on the test images, as `kvae evaluate` measures them.

        Args:
            importance_samples: draws from each image's posterior.
            seed: seed of the draws.
            data_dir: where the files of a named data set are; see `kvae.data.load`.
            **arguments: those of `kvae.evaluation.evaluate`.

        Raises:
            KvaeError: the images are no longer there or are others, or an argument out of range.
        """
        path, manifest = self.exported.path, self.exported.manifest
        folder = None if data_dir is None else Path(data_dir)
        test = labelled_test_images(manifest, folder, own_images(path), own_splits(path))
        if manifest.labels is not None:
            arguments.setdefault("labels", test.labels)
        bundle = Bundle.open(path, threads=1)  # as images are processed side by side
        return evaluation.evaluate(bundle, test.images, importance_samples, seed, grey=test.grey, **arguments)


def finish(
    out: Path, config: TrainConfig, data: datasets.Dataset, history: dict[str, list[float]], name: Path | None = None
) -> Run:
    """Evaluate, export and picture the best model, and say what to know about it; if interrupted, it can be run again.

    Args:
        out: where the best model is, and where everything is written.
        config: the settings.
        data: the data set.
        history: the losses of all epochs.
        name: the run's folder as the user names it, if it is not `out`.

    Raises:
        KvaeError: the model cannot be exported; if that is because training diverged, the message says so.
    """
    best = load_model(out)
    test = held_out(data, "test", config.is_of_bits)
    is_conditional = config.model.conditional
    labels = held_out_labels(data, "test") if is_conditional else None
    metrics: dict[str, Estimate] = {}

    def measure(bundle: Bundle) -> dict[str, Any]:
        measured = evaluation.evaluate(
            bundle, test, TEST_DRAWS, config.seed, proposal="posterior", labels=labels
        ).metrics
        metrics.update({name: measured[name] for name in ("elbo", "distortion", "rate", "active_units")})
        return {name: asdict(metric) for name, metric in metrics.items()}

    diverged = diagnosis.diverged(config, history, test[0].size)
    try:
        exported = bundles.export(
            best,
            out / layout.BUNDLE,
            dataset=data.provenance(),
            metrics=measure,
            training=config.to_publish(),
            binarize=str(config.binarize),
            labels=data.label_names if is_conditional else None,
            label_counts=classes.label_counts(data).tolist() if is_conditional else None,
            train_images=data.train.images,
            train_labels=data.train.labels if is_conditional else None,
            test_images=test,
            test_labels=labels,
        )
    except KvaeError as error:
        if diverged is None:
            raise
        raise KvaeError(f"{diagnosis.as_text(diverged)} The model cannot be exported: {error}") from None
    findings = diagnosis.diagnose(
        str(name or out),
        config,
        history,
        test[0].size,
        metrics["active_units"].value,
        (exported.manifest.posterior or {}).get("scale_mean", ()),
        _floor_share(Bundle.open(exported.path, device="cpu")),
    )
    run_files.write_json(out / layout.DIAGNOSIS, {"findings": diagnosis.as_json(findings)})
    if not pictures.is_table(data.image_shape):
        _draw_pictures(out, test, labels)
    curves.save(history, out / layout.CURVES)
    run_report.write(out)
    few = slice(EFFECTIVE_BETA_IMAGES)
    beta = effective_beta(best, test[few], None if labels is None else labels[few])
    run_files.write_json(out / layout.METRICS, exported.manifest.metrics)  # last: it marks the run as finished
    return Run(out, metrics, beta, exported, findings)


def _floor_share(bundle: Bundle) -> float:
    """The fraction of the pixels of some samples whose likelihood has its scale at the floor; 0 if it has no scale."""
    likelihood = likelihoods.get(bundle.manifest.likelihood)
    if likelihood.min_scale is None:
        return 0.0
    label = None
    if bundle.manifest.label_weights is not None:
        label = noise.choices(0, 0, NUM_PICTURED, bundle.manifest.label_weights, noise.LABELS)
    inputs: dict[str, NDArray[Any]] = {"z": bundle.prior.draws(0, 0, NUM_PICTURED, label=label)}
    inputs |= {} if label is None else {"label": label}
    found = bundle.run("decoder", inputs, ["likelihood_parameters"])["likelihood_parameters"]
    scale = found[..., likelihood.parameters.index("scale")]
    return float(np.mean(scale < 1.01 * likelihood.min_scale))


def _draw_pictures(run: Path, images: NDArray[np.uint8], labels: NDArray[np.int64] | None) -> None:
    bundle = Bundle.open(run / layout.BUNDLE, device="cpu")
    samples, columns = previews.samples(bundle)
    pictures.save(pictures.grid(samples, columns), run / layout.SAMPLES)
    originals = pictures.to_float32(images[:NUM_PICTURED])
    decoded = bundle.reconstruct(originals, None if labels is None else labels[:NUM_PICTURED])
    pictures.save(pictures.reconstructions(originals, decoded, columns=16), run / layout.RECONSTRUCTIONS)
