"""Fits a prior afterwards: to the codes of a finished run's model, whose encoder and decoder stay as they are.

With q(z|x) fixed, KL(q || p) = H(q, p) - H(q) and the cross-entropy H(q, p) differ by a constant: minimising either in
p is maximum likelihood for draws from the training images' posteriors.
"""

import math
import shlex
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from kvae.bundle.manifest import sha256
from kvae.config import ModelConfig, PriorFitConfig, TrainConfig
from kvae.data import classes, datasets
from kvae.errors import KvaeError
from kvae.files import apart
from kvae.files.atomic import atomic_folder, check_replaceable
from kvae.model import priors
from kvae.model.objectives import ELBO
from kvae.model.priors import Prior
from kvae.model.vae import VAE
from kvae.runs import files as run_files
from kvae.runs import layout
from kvae.runs import report as run_report
from kvae.steps import backend, optimizers, schedules
from kvae.training import checkpoints, environment
from kvae.training.codes import Codes
from kvae.training.finishing import Run, finish
from kvae.training.keras_files import load_model

History = dict[str, list[float]]
Progress = Callable[[int, float, float], None]


@dataclass(frozen=True)
class Fitted:
    """A run whose prior was fitted."""

    run: Run
    before: dict[str, dict[str, float]]
    """The test metrics of the run with the old prior, each `{value, standard_error}`."""

    @property
    def is_worse(self) -> bool:
        """Whether the test rate is higher than with the old prior, by more than two standard errors of both."""
        before, after = self.before["rate"], self.run.metrics["rate"]
        error = math.hypot(before["standard_error"], after.standard_error)
        return after.value - before["value"] > 2 * error


def fit_prior(
    run: Path,
    out: Path,
    fit: PriorFitConfig,
    data_dir: Path | None = None,
    progress: Progress | None = None,
    decoding: Callable[[int, int], None] | None = None,
) -> Fitted:
    """Fit a prior to a finished run's codes, and write a run with that prior into the new folder `out`.

    The folder appears when it is complete, with all that a run has but a checkpoint: a training that shall go on from
    it begins with `init_from`. If the process ends before that, nothing is left behind.

    Args:
        run: the finished run.
        out: the new run's folder; it must be empty or not exist.
        fit: the prior, and how it is fitted.
        data_dir: where the data set's files are; see `kvae.data.datasets.load`.
        progress: called after each epoch with its number, from 1, and the rates of the training and the validation
            images in nats per image.
        decoding: as for `kvae.training.train`.

    Raises:
        KvaeError: `run` is not a finished run, its data are missing or have changed, `out` holds something, or the fit
            diverged.
    """
    if not run_files.is_finished(run):
        raise KvaeError(
            f"{run} is not a finished run, whose model a prior can be fitted to. kvae runs lists the runs in a folder."
        )
    config = run_files.read_config(run)
    apart.check(out, run, *config.own_paths)
    check_replaceable(out, _never, "an empty folder")
    before = run_files.read_object(run / layout.METRICS)
    data = datasets.of(config, data_dir, decoding)
    _check_same(run, data, config.model.conditional)
    config = _config(config, run, fit)
    keras.utils.set_random_seed(fit.seed)
    old = load_model(run)
    vae = with_prior(old, new_prior(fit, old), fit)
    history = _fitted(vae, Codes(old, data, config.is_of_bits, fit.seed), fit, progress)
    with atomic_folder(out, _never, "an empty folder", last=layout.METRICS, durable=True) as folder:
        run_files.write_json(folder / layout.ENVIRONMENT, environment.versions())
        run_files.write_json(folder / layout.DATASET, run_files.read_object(run / layout.DATASET))
        datasets.write_record(data, folder / layout.IMAGES)
        vae.save(folder / layout.MODEL)
        checkpoints.Checkpoints(folder, checkpoints.State(epoch=fit.epochs, history=history)).write_history()
        run_files.write_json(folder / layout.CONFIG, config.to_dict())
        made = finish(folder, config, data, history, name=out)
    run_report.write(out)  # again, with the folder's own name
    exported = replace(made.exported, path=out / layout.BUNDLE)
    return Fitted(replace(made, path=out, exported=exported), before)


def new_prior(fit: PriorFitConfig, vae: VAE) -> Prior:
    """The prior to fit to a model's codes, with fresh weights."""
    model = ModelConfig(prior=fit.prior, prior_components=fit.prior_components, latent_dim=vae.latent_dim)
    with backend.plain_settings():
        prior = priors.get(fit.prior).of_config(model, vae.image_shape, vae.num_labels)
        prior.build()
    return prior


def with_prior(old: VAE, prior: Prior, fit: PriorFitConfig) -> VAE:
    """A model's encoder, decoder and objective with another prior, compiled, so that it can be trained further.

    The objective has no free bits, which need the KL of each latent dimension: a mixture or a flow has none.
    """
    objective = replace(old.objective, free_bits=0.0) if isinstance(old.objective, ELBO) else old.objective
    with backend.plain_settings():
        vae = VAE(old.encoder, old.decoder, prior, objective, seed=fit.seed)
        vae.build((None, *old.image_shape))
        optimizer = optimizers.FusedAdam(fit.learning_rate)
        optimizer.build(vae.trainable_variables)
        vae.compile(optimizer=optimizer)
    return vae


def cross_entropy(prior: Prior, z: tf.Tensor, label: tf.Tensor | None = None) -> tf.Tensor:
    """The mean of -log p(z) over codes `(batch, latent_dim)`, which estimates the posteriors' mean H(q, p); in nats.

    With `label`, int64 `(batch,)`, for a prior of each label, it is that of -log p(z|y).
    """
    return -tf.reduce_mean((prior() if label is None else prior(label)).log_prob(z))


def _fitted(vae: VAE, codes: Codes, fit: PriorFitConfig, progress: Progress | None) -> History:
    """Fit the model's prior, leave it with the weights of the best epoch, and return the history of all."""
    prior = vae.prior
    labels = {split: codes.labels(split) for split in ("train", "validation")}
    prior.start_at_codes(codes.draws("train", 0).z, labels["train"])
    size = min(fit.batch_size, codes.num_train)
    rate = schedules.run_cosine(fit.learning_rate, fit.epochs * (codes.num_train // size))
    optimizer = optimizers.FusedAdam(rate)
    optimizer.build(prior.trainable_variables)

    @tf.function(jit_compile=True)
    def step(z: tf.Tensor, label: tf.Tensor | None) -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = cross_entropy(prior, z, label)
        optimizer.apply(tape.gradient(loss, prior.trainable_variables), prior.trainable_variables)
        return loss

    measure = tf.function(lambda z, label: cross_entropy(prior, z, label))
    held_out = codes.draws("validation", 0)
    distortions = {"": codes.distortion(vae, "train"), "val_": codes.distortion(vae, "validation")}
    history: History = {f"{split}{name}": [] for split in ("", "val_") for name in NAMES}
    best: list[NDArray[Any]] = []
    for epoch in range(fit.epochs):
        draws = codes.draws("train", epoch)
        losses = [step(*batch) for batch in _batches(draws.z, labels["train"], size, fit.seed, epoch)]
        measured = float(measure(held_out.z, labels["validation"]))
        rates = {"": float(np.mean(losses)) - draws.entropy, "val_": measured - held_out.entropy}
        if not np.isfinite([*rates.values()]).all():
            raise KvaeError(
                f"the fit diverged in epoch {epoch + 1}. Fit again with a lower --learning-rate than "
                f"{fit.learning_rate:g}."
            )
        for split, value in rates.items():
            loss = distortions[split] + value
            for name, found in zip(NAMES, (loss, -loss, distortions[split], value), strict=True):
                history[split + name].append(found)
        if rates["val_"] == min(history["val_rate"]):
            best = prior.get_weights()
        if progress:
            progress(epoch + 1, rates[""], rates["val_"])
    prior.set_weights(best)
    return history


NAMES = ("loss", "elbo", "distortion", "rate")
"""The columns of the history; the loss is the negative ELBO, in which only the rate changes."""


def _batches(
    z: NDArray[np.float32], labels: NDArray[np.int64] | None, size: int, seed: int, epoch: int
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.int64] | None]]:
    order = np.random.default_rng([seed, epoch, 1]).permutation(len(z))
    for first in range(0, len(z) - size + 1, size):
        rows = order[first : first + size]
        yield z[rows], None if labels is None else labels[rows]


def _config(config: TrainConfig, run: Path, fit: PriorFitConfig) -> TrainConfig:
    """The settings of the run with the new prior: those of its model's training, and the record of the fit."""
    model = replace(config.model, prior=fit.prior, prior_components=fit.prior_components)
    record = asdict(fit) | {"run": str(run.absolute()), "sha256": sha256(run / layout.MODEL)}
    return replace(config, model=model, prior_fit=record)


def _check_same(run: Path, data: datasets.Dataset, conditional: bool) -> None:
    recorded = run_files.read_object(run / layout.DATASET)
    began_with = str(recorded.get("sha256"))
    if data.sha256 != began_with:
        raise KvaeError(
            f"the images differ from those that {shlex.quote(str(run))} was trained on: sha256 {data.sha256[:12]}..., "
            f"expected {began_with[:12]}.... Restore them."
        )
    if conditional:
        classes.check_same(data, recorded, run)


def _never(path: Path) -> bool:
    return False
