"""Compress images without loss by a model, at the rate of its -ELBO, with numpy, onnxruntime and constriction."""

from kvae.compression.compression import Compressed, check, compress, decompress, decompressed

__all__ = ["Compressed", "check", "compress", "decompress", "decompressed"]
