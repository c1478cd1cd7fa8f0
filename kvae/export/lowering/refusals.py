"""Operations that no rewriting can export, and what a layer can do in their place."""

import tensorflow as tf

from kvae.export.lowering.rules import Refused

STATELESS = "change it only if training is true"
RANDOM = (
    "draws random numbers when it is not training",
    "draw them only if training is true, or from a fixed seed by tf.random.stateless_normal with a fixed shape",
)
PYTHON = ("runs Python code", "write it with keras.ops or TensorFlow operations")
TEXT = ("computes with text", "give the network numbers")
FOURIER = ("computes a Fourier transform", "multiply by the matrix of the transform, a constant, in its place")
COMPLEX = ("computes with complex numbers", "keep the real and the imaginary part as two tensors")
TABLE = ("looks values up in a table", "use an Embedding of whole numbers")

REASONS = {
    "PyFunc": PYTHON,
    "EagerPyFunc": PYTHON,
    "PyFuncStateless": PYTHON,
    **dict.fromkeys(("FFT", "FFT2D", "FFT3D", "IFFT", "IFFT2D", "RFFT", "RFFT2D", "IRFFT", "IRFFT2D"), FOURIER),
    **dict.fromkeys(("HashTableV2", "LookupTableFindV2", "MutableHashTableV2"), TABLE),
    "Multinomial": RANDOM,
}


def check(op: tf.Operation) -> None:
    """Raise if nothing can export an operation whose value is not known.

    Raises:
        Refused: it cannot be exported; says why, and what to do.
    """
    if op.type in REASONS:
        raise Refused(*REASONS[op.type])
    if op.type.startswith(("Random", "StatelessRandom", "StatefulStandard", "StatefulUniform", "StatefulTruncated")):
        raise Refused(*RANDOM)
    if any(end.dtype == tf.string for end in (*op.inputs, *op.outputs)):
        raise Refused(*TEXT)
    if any(end.dtype.is_complex for end in (*op.inputs, *op.outputs)):
        raise Refused(*COMPLEX)
