"""The graphs of a bundle in another precision."""

import numpy as np
import onnx
from numpy.typing import NDArray

from kvae.bundle import operators
from kvae.conversion import fidelity, precision, quantization
from kvae.runtime.bundle import Bundle

EXACT = ("prior", "prior_density")
"""The graphs that stay float32. They are small and quick beside the decoder, and a density amplifies rounding: by the
square of how narrow the prior is."""


def converted(
    bundle: Bundle, to_precision: str, images: NDArray[np.uint8] | None, labels: NDArray[np.int64] | None = None
) -> dict[str, onnx.ModelProto]:
    """A bundle's graphs, converted, by name; those of a prior other than N(0, I) stay as they are.

    Args:
        bundle: the bundle with the float32 graphs.
        to_precision: "float32" for the graphs as they are, "float16" or "int8".
        images: uint8 training images to calibrate int8 on.
        labels: their labels, if the model has labels.

    Raises:
        BundleError: a graph cannot be converted, or the result has an operator that is not standard.
    """
    models = {name: onnx.load(path) for name, path in bundle.graphs.items()}
    networks = {name: model for name, model in models.items() if name not in EXACT}
    if to_precision == "float16":
        models |= {name: precision.to_float16(model) for name, model in networks.items()}
    if to_precision == "int8" and images is not None:
        # Only decoding has to be fast. In the encoder, the same rounding causes most of the nats that int8 costs.
        for name, inputs in fidelity.inputs(bundle, images, labels).items():
            models[name] = quantization.to_int8(models[name], inputs, round_convolutions=name == "decoder")
    for name, model in models.items():
        operators.check_model(name, model, bundle.manifest.opset)
    return models
