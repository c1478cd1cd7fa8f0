"""Operations that no rewriting can export, and what a layer can do in their place."""

import tensorflow as tf

from kvae.export.lowering.rules import Refused

STATELESS = "change it only if training is true"
RANDOM = (
    "draws random numbers when it is not training",
    "draw them only if training is true, or from a fixed seed by tf.random.stateless_normal with a fixed shape",
)
PYTHON = ("runs Python code", "write it with operations of keras.ops or TensorFlow")
TABLE = ("looks values up in a table", "use an Embedding of whole numbers")

REASONS = {
    **dict.fromkeys(("PyFunc", "EagerPyFunc", "PyFuncStateless"), PYTHON),
    **dict.fromkeys(("HashTableV2", "LookupTableFindV2", "MutableHashTableV2"), TABLE),
    "Multinomial": RANDOM,
}

REWRITE = "write it with other operations, of keras.ops or TensorFlow"
FOURIER = "multiply by the matrix of the Fourier transform, a constant, in its place"
TEXT = "give the network numbers, not text"
ADVICE = {
    **dict.fromkeys(("AsString", "StringFormat", "StringJoin", "StringLength", "StringToNumber", "Substr"), TEXT),
    **dict.fromkeys(("StringToHashBucket", "StringToHashBucketFast", "StringToHashBucketStrong"), TEXT),
    **dict.fromkeys(("FFT", "IFFT", "RFFT", "IRFFT", "FFT2D", "IFFT2D", "IRFFT2D", "ComplexAbs"), FOURIER),
    **dict.fromkeys(("Svd", "Qr", "SelfAdjointEigV2", "Eig"), "use a normalisation or an attention in its place"),
    **dict.fromkeys(("Loop", "Scan"), "compute it without a loop, with other operations of keras.ops or TensorFlow"),
    "CropAndResize": "cut out the same part of every image",
    "Unique": "use one_hot and a sum over the numbers in its place",
}
"""By the name of an operation that tf2onnx cannot convert: what to do, if there is more to say than `REWRITE`."""


def check(op: tf.Operation) -> None:
    """Raise if nothing can export an operation whose value is not known.

    Raises:
        Refused: it cannot be exported; says why, and what to do.
    """
    if op.type in REASONS:
        raise Refused(*REASONS[op.type])
    if op.type.startswith(("Random", "StatelessRandom", "StatefulStandard", "StatefulUniform", "StatefulTruncated")):
        raise Refused(*RANDOM)
