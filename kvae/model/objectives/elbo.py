"""The evidence lower bound and its variants: the KL, or the entropy in it, with another weight."""

from dataclasses import dataclass

import keras
import tensorflow as tf

from kvae.bundle import caveats
from kvae.config import TrainConfig
from kvae.model.objectives.objective import Objective
from kvae.model.terms import Terms


@keras.saving.register_keras_serializable("kvae")
@dataclass(frozen=True, kw_only=True)
class ELBO(Objective):
    """distortion + beta (H(q, p) - entropy_weight H(q)): the negative ELBO with both weights at 1, their default.

    Args:
        beta: weight of the regulariser.
        entropy_weight: lambda in the regulariser H(q, p) - lambda H(q), where H(q, p) is the cross-entropy of
            the posterior and the prior, and H(q) the posterior's entropy. At 1 the regulariser is the KL; at 0 it is
            the cross-entropy. At any value but 1 the loss is not a bound on the likelihood.
        warmup_steps: optimiser steps over which the weight grows linearly from 0 to `beta`; default 0, no warm-up.
            Only training is warmed up: `evaluate` always uses the full weight.

    References:
        Kingma & Welling, arXiv 1312.6114 (the ELBO and its reparameterised gradient); Higgins et al., beta-VAE,
        ICLR 2017 (beta); Bowman et al., arXiv 1511.06349 (warm-up).
    """

    entropy_weight: float = 1.0
    warmup_steps: int = 0

    def loss(self, terms: Terms, beta: tf.Tensor | float) -> tf.Tensor:
        return tf.reduce_mean(terms.distortion + beta * self.regularizer(terms))

    def regularizer(self, terms: Terms) -> tf.Tensor:
        """H(q, p) - entropy_weight H(q) of each image, `(batch,)` in nats: the rate itself if the weight is 1."""
        if self.entropy_weight == 1.0:
            return terms.rate  # KL(q || p) = H(q, p) - H(q)
        return terms.rate + (1.0 - self.entropy_weight) * terms.entropy

    def ramp(self, step: tf.Tensor) -> tf.Tensor | float:
        if not self.warmup_steps:
            return 1.0
        return tf.minimum(1.0, tf.cast(step, tf.float32) / self.warmup_steps)

    @property
    def caveat(self) -> str | None:
        return caveats.about_loss(self.beta, self.entropy_weight)

    @classmethod
    def of_config(cls, config: TrainConfig, steps_per_epoch: int) -> "ELBO":
        return cls(
            beta=config.beta,
            entropy_weight=config.entropy_weight,
            warmup_steps=config.kl_warmup_epochs * steps_per_epoch,
        )


OBJECTIVE = ELBO
