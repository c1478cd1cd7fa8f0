"""Networks of mixed precision are exported, and compared, in float32."""

from collections.abc import Iterator
from contextlib import contextmanager

from kvae.model.vae import VAE
from kvae.steps.keras_private import flat_layers


@contextmanager
def in_float32(vae: VAE) -> Iterator[None]:
    """Let all layers compute in float32 within the block, whatever the policy under which they were made.

    The weights are float32 under Keras's mixed policies too.
    """
    policies = [(layer, layer.dtype_policy) for layer in flat_layers(vae) if layer.compute_dtype != "float32"]
    try:
        for layer, _ in policies:
            layer.dtype_policy = "float32"
        yield
    finally:
        for layer, policy in policies:
            layer.dtype_policy = policy
