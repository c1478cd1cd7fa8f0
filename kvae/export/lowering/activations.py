"""Activations that TensorFlow computes with operations that ONNX lacks."""

import tensorflow as tf

from kvae.export.lowering.rules import Call, Value, replaces


@replaces("Erfc")
def complementary_error(call: Call) -> Value:
    """1 − erf(x), part of the exact GELU; for large x it is off by 6e-8, which a GELU multiplies by x / 2."""
    return 1.0 - tf.math.erf(call.inputs[0])


@replaces("Expm1")
def exponential_minus_one(call: Call) -> Value:
    """e^x − 1 = 2 e^(x/2) sinh(x/2) without cancellation near 0; tanh and exp are accurate everywhere."""
    half = 0.5 * call.inputs[0]
    return tf.tanh(half) * (tf.exp(call.inputs[0]) + 1.0)


@replaces("Log1p")
def logarithm_of_one_plus(call: Call) -> Value:
    """log(1 + x); see `log1p`."""
    return log1p(call.inputs[0])


@replaces("Xlogy")
def times_logarithm(call: Call) -> Value:
    """x log y, which is 0 if x is."""
    x, y = call.inputs
    return tf.where(tf.equal(x, 0.0), tf.zeros_like(x), x * tf.math.log(y))


@replaces("Xlog1py")
def times_logarithm_of_one_plus(call: Call) -> Value:
    """x log(1 + y), which is 0 if x is."""
    x, y = call.inputs
    return tf.where(tf.equal(x, 0.0), tf.zeros_like(x), x * log1p(y))


def log1p(x: tf.Tensor) -> tf.Tensor:
    """log(1 + x); for small x it is 2 artanh(x / (2 + x)), in which nothing is lost by adding x to 1."""
    return tf.where(tf.abs(x) < 0.5, 2.0 * tf.atanh(x / (2.0 + x)), tf.math.log(1.0 + x))
