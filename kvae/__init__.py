"""kvae: variational autoencoders, trained with Keras and TensorFlow Probability, handed over as ONNX.

Nothing is imported here, so that `import kvae` stays instant. Start at `kvae.model.vae` (for training) or
`kvae.runtime.bundle` (for sampling, with numpy and onnxruntime only).
"""

__version__ = "0.1.0"
