"""The importance-weighted bound: log p(x) >= E log 1/K sum_k p(x|z_k) p(z_k) / q(z_k|x), tighter the larger K is."""

import math
from dataclasses import asdict, dataclass

import keras
import tensorflow as tf

from kvae.bundle import caveats
from kvae.config import NUM_DRAWS, TrainConfig
from kvae.errors import ConfigError
from kvae.model.objectives.objective import check_num_draws
from kvae.model.objectives.schedule import BetaSchedule, ScheduledObjective
from kvae.model.terms import Terms


@keras.saving.register_keras_serializable("kvae")
@dataclass(frozen=True, kw_only=True)
class IWAE(ScheduledObjective):
    """-log 1/K sum_k exp(log weight k), averaged over the images: a bound on the negative log-likelihood.

    Its expectation falls as K grows, to the negative log-likelihood itself. At K = 1 it is the estimate
    -log p(x|z) - log p(z) + log q(z|x) of the negative ELBO from one draw, which has the same expectation as
    `ELBO`'s loss; that has less noise, because it takes the KL in closed form if there is one. The metrics `elbo`,
    `rate` and `distortion` are those of the ELBO whatever K is.

    Args:
        num_draws: K, draws from each posterior; each is decoded. 5 by default.
        beta: must be 1: no weighted sum of the terms is this bound.
        warmup_steps: as for `ScheduledObjective`, like the next three. While the fraction is below 1, the log weights
            are log p(x|z) + fraction (log p(z) - log q(z|x)), and the loss is not yet the bound. Without a warm-up, an
            importance-weighted loss leaves more latent dimensions unused (docs/results.md).
        cycle_steps: likewise.
        shares: likewise.
        share_steps: likewise.

    Raises:
        ConfigError: `num_draws` is not an integer of at least 1, or `beta` is not 1.

    References:
        Burda et al., Importance Weighted Autoencoders, arXiv 1509.00519; Sonderby et al., Ladder Variational
        Autoencoders, arXiv 1602.02282 (importance weighting with a warm-up).
    """

    num_draws: int = NUM_DRAWS["iwae"]

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.beta != 1.0:
            raise ConfigError(
                f"beta must be 1 for iwae, whose draws are weighted by their densities as they are; got {self.beta:g}."
            )
        check_num_draws(self.num_draws)

    def loss(self, terms: Terms, beta: tf.Tensor | float) -> tf.Tensor:
        log_weights = terms.log_likelihood + beta * (terms.log_prior - terms.log_posterior)
        return math.log(self.num_draws) - tf.reduce_mean(tf.reduce_logsumexp(log_weights, axis=0))

    @property
    def caveat(self) -> str | None:
        return caveats.about_draws(self.num_draws)

    @classmethod
    def of_config(cls, config: TrainConfig, steps_per_epoch: int) -> "IWAE":
        schedule = BetaSchedule.of_config(config, steps_per_epoch)
        return cls(num_draws=config.num_draws or NUM_DRAWS["iwae"], **asdict(schedule))


OBJECTIVE = IWAE
