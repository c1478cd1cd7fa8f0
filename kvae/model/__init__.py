"""The variational autoencoder and the parts it is made of."""

import kvae.steps.backend  # noqa: F401  # before Keras is imported
from kvae.model.architectures import Architecture
from kvae.model.networks import Decoder, Encoder
from kvae.model.objectives import ELBO, Objective
from kvae.model.objectives.iwae import IWAE
from kvae.model.priors import Prior, StandardNormal
from kvae.model.priors.flow import Flow
from kvae.model.priors.mixture import Mixture
from kvae.model.priors.vamp import Vamp
from kvae.model.terms import Terms
from kvae.model.vae import VAE

__all__ = [
    "Architecture",
    "Decoder",
    "ELBO",
    "Encoder",
    "Flow",
    "IWAE",
    "Mixture",
    "Objective",
    "Prior",
    "StandardNormal",
    "Terms",
    "VAE",
    "Vamp",
]
