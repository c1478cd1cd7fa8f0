"""The result of an evaluation: numbers with their standard errors, and warnings derived from them."""

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kvae.bundle import caveats, comparable
from kvae.bundle.manifest import Manifest
from kvae.evaluation.estimates import Estimate
from kvae.runtime import information
from kvae.runtime.class_labels import Labels

MIN_EFFECTIVE = 3.0
"""Below this effective sample size, an image's NLL rests on one or two draws."""
MAX_SHARE_BELOW = 0.1
"""From this share of such images on, the mean NLL is unreliable."""
MAX_BIAS = 0.02
"""Estimated bias, in nats, from which on a warning is given."""
MAX_SHARE_WIDENED = 0.25
"""From this share of images with a widened proposal on, the encoder is called too narrow."""
COLLAPSED_RATE = 0.1
"""Below this many nats per latent dimension, a code with (nearly) no active unit is called collapsed."""
DETERMINISTIC = 0.01
"""Below this ratio of its posterior scale to the spread of its means, a latent dimension counts as noiseless."""


@dataclass(frozen=True)
class Evaluation:
    """The result of `evaluate`."""

    manifest: Manifest
    images_sha256: str
    """Hash of the images as the model received them: if two evaluations share it, they used the same images."""
    importance_samples: int
    proposal: str
    seed: int
    per_image: dict[str, NDArray[np.float64]]
    """One number per image, in nats unless noted: `elbo`, `distortion`, `rate`, `nll`, `gap` (how loose the bound is:
    -elbo minus nll), `bits_per_dim` (nll in bits per pixel and channel; for a density it is differential, without the 8
    bits of a level, and can be negative), `effective_sample_size` (draws), `widening` (factor on the proposal's scale;
    1 is the posterior itself), `pixel_entropy` (of bits whose grey images are known; see
    `kvae.bundle.binarization.entropy`), and, for one draw each, `mutual_information` and `marginal_kl`, of which only
    the means are meaningful. For a model with labels all of this is given the label, and there are `nll_marginal`, -log
    p(x), and `effective_sample_size_marginal`, that of its estimate; for one with groups there are no
    `mutual_information` and `marginal_kl`."""
    loc: NDArray[np.float64]
    """Posterior means, `(n, latent_dim)`; in a model with groups, those of noise 0."""
    scale: NDArray[np.float64]
    """Posterior standard deviations, `(n, latent_dim)`; likewise."""
    labels: Labels | None = None
    """The label of each image, `(n,)`, if the model has labels."""
    labels_are_best: bool = False
    """Whether these labels are those with the highest ELBO, and not the images' own."""
    group_rates: NDArray[np.float64] | None = None
    """The rate of each group of latent dimensions, `(n, groups)`, if the model has groups and the prior N(0, I)."""

    @cached_property
    def metrics(self) -> dict[str, Estimate]:
        """The means over images by name, and `active_units`, with a bootstrap standard error."""
        active = Estimate(float(self.active.sum()), information.active_units_error(self.loc))
        return {name: Estimate.of(values) for name, values in self.per_image.items()} | {"active_units": active}

    @cached_property
    def active(self) -> NDArray[np.bool_]:
        """Which latent dimensions are in use; see `kvae.runtime.information.active_units`."""
        return information.active_units(self.loc)

    @cached_property
    def posterior_scale(self) -> list[Estimate]:
        """The mean posterior standard deviation of each latent dimension."""
        return [Estimate.of(column) for column in self.scale.T]

    @property
    def kind(self) -> str:
        """What kind of NLL it is; see `kvae.bundle.caveats.kind`."""
        return caveats.kind(self.manifest.likelihood, self.manifest.binarize)

    @property
    def about(self) -> str:
        """The same in words."""
        found = caveats.about_numbers(self.manifest.likelihood, self.manifest.binarize)
        if self.labels is None:
            return found
        which = "the label with the highest ELBO, which makes them too good" if self.labels_are_best else "its label"
        return f"{found}, of each image given {which}: log p(x|y); nll_marginal is -log p(x), without the label"

    @property
    def left_out(self) -> str | None:
        """What an evaluation of this model does not have, and why; None if it has everything."""
        return None if self.manifest.groups is None else information.LEFT_OUT

    @cached_property
    def rate_by_group(self) -> list[Estimate] | None:
        """The mean rate of each group of latent dimensions; None if there are no `group_rates`."""
        return None if self.group_rates is None else [Estimate.of(column) for column in self.group_rates.T]

    @property
    def measured(self) -> comparable.Measured:
        """What the numbers are, and which images they are from; numbers of other evaluations may be compared or not."""
        return comparable.of_manifest(self.manifest)._replace(images=self.images_sha256)

    @property
    def sampled(self) -> comparable.Sampled:
        """How the NLL was estimated."""
        return comparable.Sampled(self.importance_samples, self.proposal, self.nll_is_believable)

    @property
    def loss_caveat(self) -> str | None:
        """What to say about the loss that the model was trained on, if it is not the negative ELBO."""
        return caveats.about_training(self.manifest.training)

    @property
    def nll_is_believable(self) -> bool:
        """Whether the NLL of (nearly) all images rests on more than one or two draws."""
        return float(np.mean(self.per_image["effective_sample_size"] < MIN_EFFECTIVE)) <= MAX_SHARE_BELOW

    @property
    def nll_bias(self) -> float:
        """The expected upward bias of the NLL, in nats: the mean of 1/(2 ESS) - 1/(2 S).

        It is the first term of the delta method for the logarithm of a mean, and too small if the weights have heavy
        tails.
        """
        effective = self.per_image["effective_sample_size"]
        return float(np.mean(0.5 / effective)) - 0.5 / self.importance_samples

    @property
    def warnings(self) -> list[str]:
        """The problems that the numbers show, in words."""
        found = []
        rate, latent_dim = self.per_image["rate"].mean(), self.manifest.latent_dim
        num_active = int(self.active.sum())
        if num_active <= latent_dim // 10 and rate < COLLAPSED_RATE * latent_dim:
            found.append(
                f"posterior collapse: {num_active} of {latent_dim} latent dimensions are in use, and the code carries "
                f"{rate:.2f} nats; the decoder nearly ignores it. Lower beta or warm it up."
            )
        noiseless = int(np.sum(self.scale.mean(axis=0) < DETERMINISTIC * self.loc.std(axis=0)))
        if noiseless:
            found.append(
                f"scales at the floor: in {noiseless} of {latent_dim} latent dimensions the posterior's scale is below "
                f"{DETERMINISTIC:.0%} of the spread of its means; there the model is an autoencoder without noise, and "
                f"draws from the prior may miss its codes."
            )
        wide = float(np.mean(self.per_image["widening"] > 1))
        if wide > MAX_SHARE_WIDENED:
            found.append(
                f"the encoder is too narrow: for {wide:.0%} of the images the NLL was sampled with the posterior's "
                f"scale widened by a factor of up to {self.per_image['widening'].max():g}; sampled from the posterior "
                f"itself, it would be too high. The ELBO and the rate use the posterior itself."
            )
        if not self.nll_is_believable:
            below = float(np.mean(self.per_image["effective_sample_size"] < MIN_EFFECTIVE))
            found.append(
                f"the NLL estimate is unreliable: for {below:.0%} of the images the effective sample size is below "
                f"{MIN_EFFECTIVE:.0f} of {self.importance_samples}; in expectation it is an upper bound, and may be "
                f"far above the model's own. Use more --importance-samples."
            )
        elif self.nll_bias > MAX_BIAS:
            found.append(
                f"the NLL is too high by about {self.nll_bias:.2f} nats or more, judging by the effective sample size; "
                f"its standard error does not include this bias. Use more --importance-samples."
            )
        entropy = self.per_image.get("pixel_entropy")
        if entropy is not None and self.per_image["nll"].mean() < entropy.mean():
            found.append(
                f"the NLL is below the entropy of the pixels, {entropy.mean():.2f} nats, which no model's is in "
                f"expectation: something is wrong with the images or with the model."
            )
        limit, mutual = information.limit(len(self.loc), self.labels), self.per_image.get("mutual_information")
        if mutual is not None and mutual.mean() > 0.9 * limit:
            found.append(
                f"the mutual information is near its limit for {len(self.loc)} images, {limit:.2f} nats: over all "
                f"images, {'I(x;z)' if self.labels is None else 'I(x;z|y)'} is at least the value shown, and the "
                f"marginal KL at most."
            )
        marginal = self.per_image.get("effective_sample_size_marginal")
        if marginal is not None and float(np.mean(marginal < MIN_EFFECTIVE)) > MAX_SHARE_BELOW:
            found.append(
                f"the estimate of -log p(x) is unreliable: for {float(np.mean(marginal < MIN_EFFECTIVE)):.0%} of the "
                f"images its effective sample size is below {MIN_EFFECTIVE:.0f}. Use more --importance-samples."
            )
        return found

    def to_dict(self) -> dict[str, Any]:
        """The evaluation as JSON values, without the values per image."""
        return {
            "dataset": self.manifest.dataset["name"],
            "split": "test",
            "num_images": len(self.loc),
            "images_sha256": self.images_sha256,
            "likelihood": self.manifest.likelihood,
            "binarize": self.manifest.binarize,
            "kind": self.kind,
            "about": self.about,
            "loss_caveat": self.loss_caveat,
            "importance_samples": self.importance_samples,
            "proposal": self.proposal,
            "seed": self.seed,
            "metrics": {name: asdict(metric) for name, metric in self.metrics.items()},
            "posterior_scale": [asdict(scale) for scale in self.posterior_scale],
            "active": [bool(active) for active in self.active],
            "nll_is_believable": self.nll_is_believable,
            "nll_bias": self.nll_bias,
            "warnings": self.warnings,
        } | self._of_family()

    def _of_family(self) -> dict[str, Any]:
        """What only models with labels, or with groups, have."""
        found: dict[str, Any] = {}
        if self.labels is not None:
            names = self.manifest.labels or []
            counts = np.bincount(self.labels, minlength=len(names)).tolist()
            found |= {
                "given": "label",
                "labels": "best" if self.labels_are_best else "own",
                "images_by_label": dict(zip(names, counts, strict=True)),
            }
        if self.rate_by_group is not None:
            found["rate_by_group"] = [asdict(rate) for rate in self.rate_by_group]
        if self.left_out is not None:
            found["left_out"] = self.left_out
        return found
