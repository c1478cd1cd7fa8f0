"""Run exported models with numpy and onnxruntime, nothing else."""

from kvae.runtime.bundle import Bundle, Posterior

__all__ = ["Bundle", "Posterior"]
