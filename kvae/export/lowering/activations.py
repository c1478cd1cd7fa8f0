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
    """log(1 + x), corrected by the factor by which rounding changed x in 1 + x; x itself where nothing is left of it.

    Reference: Kahan's formula, in Goldberg, What every computer scientist should know about floating-point arithmetic,
    theorem 4.
    """
    whole = 1.0 + x
    rest = tf.where(tf.equal(whole, 1.0), tf.ones_like(x), whole - 1.0)
    return tf.where(tf.equal(whole, 1.0), x, tf.math.log(whole) * (x / rest))
