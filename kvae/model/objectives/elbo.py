"""The evidence lower bound and its variants: the KL, or the entropy in it, with another weight, or with free bits."""

from dataclasses import asdict, dataclass

import keras
import tensorflow as tf

from kvae.bundle import caveats
from kvae.config import TrainConfig
from kvae.errors import ConfigError
from kvae.model.objectives.objective import check_num_draws
from kvae.model.objectives.schedule import BetaSchedule, ScheduledObjective
from kvae.model.terms import Terms
from kvae.steps import replicas


@keras.saving.register_keras_serializable("kvae")
@dataclass(frozen=True, kw_only=True)
class ELBO(ScheduledObjective):
    """distortion + beta (H(q, p) - entropy_weight H(q)): the negative ELBO with both weights at 1, their default.

    Args:
        beta: weight of the regulariser.
        entropy_weight: lambda in the regulariser H(q, p) - lambda H(q), where H(q, p) is the cross-entropy of
            the posterior and the prior, and H(q) the posterior's entropy. At 1 the regulariser is the KL; at 0 it is
            the cross-entropy. At any value but 1 the loss is not a bound on the likelihood.
        warmup_steps: with the next three, how the weight changes in training; see `ScheduledObjective`.
        cycle_steps: likewise.
        shares: likewise.
        share_steps: likewise.
        free_bits: nats that each latent dimension may carry at no cost; default 0. The regulariser is then the sum
            over dimensions of max(free_bits, the dimension's KL averaged over the batch). The loss is still no less
            than distortion + beta KL.
        num_draws: draws from each posterior, over which the distortion (and a rate without a closed form) is averaged;
            default 1. More have less noise, and the same expectation.

    Raises:
        ConfigError: `num_draws` is not an integer of at least 1; `free_bits` without the plain KL; or a warm-up
            together with `shares`. While a step is traced: the posterior or the prior does not factorise over the
            latent dimensions, or several replicas share a batch, each of which would take the mean over only its own
            part.

    References:
        Kingma & Welling, arXiv 1312.6114 (the ELBO and its reparameterised gradient); Higgins et al., beta-VAE,
        ICLR 2017 (beta); Bowman et al., arXiv 1511.06349 (warm-up); Fu et al., arXiv 1903.10145 (cycles); Kingma et
        al., arXiv 1606.04934, appendix C.8 (free bits).
    """

    entropy_weight: float = 1.0
    free_bits: float = 0.0
    num_draws: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.free_bits and self.entropy_weight != 1.0:
            raise ConfigError(f"free_bits is about the KL: entropy_weight must be 1; got {self.entropy_weight:g}.")
        check_num_draws(self.num_draws)

    def loss(self, terms: Terms, beta: tf.Tensor | float) -> tf.Tensor:
        if self.free_bits:
            return tf.reduce_mean(terms.distortion) + beta * self._with_free_bits(terms)
        return tf.reduce_mean(terms.distortion + beta * self.regularizer(terms))

    def regularizer(self, terms: Terms) -> tf.Tensor:
        """H(q, p) - entropy_weight H(q) of each image, `(batch,)` in nats: the rate itself if the weight is 1."""
        if self.entropy_weight == 1.0:
            return terms.rate  # KL(q || p) = H(q, p) - H(q)
        return terms.rate + (1.0 - self.entropy_weight) * terms.entropy

    def _with_free_bits(self, terms: Terms) -> tf.Tensor:
        """The sum over dimensions of max(free_bits, mean rate of the dimension), a scalar in nats per image."""
        if terms.dimension_rates is None or not terms.dimension_rates.shape[0]:
            raise ConfigError(
                "free_bits needs the KL of each latent dimension: the posterior must be a diagonal Gaussian, and the "
                "prior N(0, I) or another diagonal Gaussian. Leave free_bits out."
            )
        check_free_bits(self.free_bits, replicas.count())
        return tf.reduce_sum(tf.maximum(self.free_bits, tf.reduce_mean(terms.dimension_rates, axis=-1)))

    @property
    def caveat(self) -> str | None:
        return caveats.about_loss(self.beta, self.entropy_weight, self.free_bits)

    @classmethod
    def of_config(cls, config: TrainConfig, steps_per_epoch: int) -> "ELBO":
        schedule = BetaSchedule.of_config(config, steps_per_epoch)
        return cls(
            beta=config.beta,
            entropy_weight=config.entropy_weight,
            free_bits=config.free_bits,
            num_draws=config.num_draws or 1,
            **asdict(schedule),
        )


def check_free_bits(free_bits: float, num_replicas: int) -> None:
    """Raise ConfigError if a batch's mean rate is needed, but no replica has the whole batch."""
    if free_bits and num_replicas > 1:
        raise ConfigError(
            f"free_bits is about the mean over a whole batch, of which each of the {num_replicas} replicas sees only "
            f"its own part: train on one device (--strategy single), or leave free_bits out."
        )


OBJECTIVE = ELBO
