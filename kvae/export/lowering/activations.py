"""Activations that TensorFlow computes with operations that ONNX lacks."""

import tensorflow as tf

from kvae.export.lowering.rules import Call, Value, replaces


@replaces("Erfc")
def complementary_error(call: Call) -> Value:
    """1 − erf(x); part of the exact GELU, where the cancellation for large x is multiplied by x e^(−x²) at most."""
    return 1.0 - tf.math.erf(call.inputs[0])


@replaces("Expm1")
def exponential_minus_one(call: Call) -> Value:
    """e^x − 1 = 2 e^(x/2) sinh(x/2) without cancellation near 0; tanh and exp are accurate everywhere."""
    half = 0.5 * call.inputs[0]
    return tf.tanh(half) * (tf.exp(call.inputs[0]) + 1.0)
