"""A hierarchy of residual blocks with groups of latent dimensions from coarse to fine; see `kvae.model.ladder`."""

from typing import cast

from kvae.config import NAMED_LIKELIHOOD, ModelConfig
from kvae.model.architectures.architecture import Architecture, Shape
from kvae.model.ladder import LadderDecoder, LadderEncoder, Plan


def plan(config: ModelConfig, image_shape: Shape) -> Plan:
    """The sizes: the setting `latent_dim` is that of the first, dense group; the others follow from the image's."""
    return Plan.of(image_shape, config.latent_dim, cast(int, config.hidden_units))


class Ladder:
    """The networks; see `kvae.model.architectures.architecture.Networks`."""

    def latent_dim(self, config: ModelConfig, image_shape: Shape) -> int:
        """The sum of the groups."""
        return plan(config, image_shape).latent_dim

    def encoder(self, config: ModelConfig, image_shape: Shape, num_labels: int | None) -> LadderEncoder:
        """The encoder, which `kvae.model.VAE` binds to the decoder."""
        return LadderEncoder(plan(config, image_shape), num_labels, name="encoder")

    def decoder(self, config: ModelConfig, image_shape: Shape, num_labels: int | None) -> LadderDecoder:
        """The decoder."""
        likelihood = config.likelihood or NAMED_LIKELIHOOD
        return LadderDecoder(plan(config, image_shape), likelihood, num_labels, name="decoder")


ARCHITECTURE = Architecture(networks=Ladder(), xla_on_cpu=False, steps_per_call=2)
