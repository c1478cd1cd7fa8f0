"""kvae: variational autoencoders, trained with Keras and TensorFlow Probability, handed over as ONNX.

Nothing is imported here, so that `import kvae` stays instant. Start at `kvae.vae` (training world) or
`kvae.runtime` (sampling world: numpy and onnxruntime only).
"""

__version__ = "0.1.0"
