"""The graphs of a bundle in another precision."""

import numpy as np
import onnx
from numpy.typing import NDArray

from kvae.bundle import operators
from kvae.conversion import fidelity, precision, quantization
from kvae.files import pictures
from kvae.runtime.bundle import Bundle


def converted(bundle: Bundle, to_precision: str, images: NDArray[np.uint8] | None) -> dict[str, onnx.ModelProto]:
    """A bundle's graphs, converted, by name.

    Args:
        bundle: the bundle with the float32 graphs.
        to_precision: "float32" for the graphs as they are, "float16" or "int8".
        images: uint8 training images to calibrate int8 on.

    Raises:
        BundleError: a graph cannot be converted, or the result has an operator that is not standard.
    """
    models = {name: onnx.load(path) for name, path in bundle.graphs.items()}
    if to_precision == "float16":
        models = {name: precision.to_float16(model) for name, model in models.items()}
    if to_precision == "int8" and images is not None:
        z, pixels = fidelity.codes(bundle, images), pictures.to_float32(images)
        models = {
            "decoder": quantization.to_int8(models["decoder"], z, round_convolutions=True),
            # Only decoding has to be fast. In the encoder, the same rounding causes most of the nats that int8 costs.
            "encoder": quantization.to_int8(models["encoder"], pixels, round_convolutions=False),
        }
    for name, model in models.items():
        operators.check_model(name, model, bundle.manifest.opset)
    return models
