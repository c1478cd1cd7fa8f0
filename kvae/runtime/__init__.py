"""Run exported models with only numpy and onnxruntime."""

from kvae.runtime.bundle import Bundle
from kvae.runtime.latents import Posterior

__all__ = ["Bundle", "Posterior"]
