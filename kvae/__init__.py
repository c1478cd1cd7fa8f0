"""kvae: variational autoencoders, trained with Keras and TensorFlow Probability, handed over as ONNX.

Nothing is imported here, so that `import kvae` stays instant. Start at `kvae.model.vae` (training world) or
`kvae.runtime.bundle` (sampling world: numpy and onnxruntime only).
"""

__version__ = "0.1.0"
