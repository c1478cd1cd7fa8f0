"""The variational autoencoder and the parts it is made of."""

import kvae.steps.backend  # noqa: F401  # before Keras is imported
from kvae.model.architectures import Architecture
from kvae.model.networks import Decoder, Encoder
from kvae.model.objectives import ELBO, Objective
from kvae.model.priors import Prior, StandardNormal
from kvae.model.terms import Terms
from kvae.model.vae import VAE

__all__ = ["Architecture", "Decoder", "ELBO", "Encoder", "Objective", "Prior", "StandardNormal", "Terms", "VAE"]
