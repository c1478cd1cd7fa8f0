"""Images and numbers in the bodies of requests and answers: pictures, .npy, .npz and JSON."""

import io
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from starlette.responses import Response

from kvae.bundle import binarization
from kvae.bundle.manifest import Manifest
from kvae.data import decoding
from kvae.data.opening import Unusable
from kvae.errors import KvaeError
from kvae.files import json_text, npy, pictures
from kvae.files.text import printable
from kvae.runtime.latents import Floats

JSON, NPY, PNG, NPZ = "application/json", "application/x-npy", "image/png", "application/x-npz"


def images(body: bytes, content_type: str, manifest: Manifest, max_images: int) -> Floats:
    """The images of a request as the encoder takes them, `(n, height, width, channels)`.

    Args:
        body: a picture (an image/... type), a .npy (application/x-npy) of one image or several, bytes or floats in
            [0, 1], or JSON, `{"images": [...]}`, of floats in [0, 1].
        content_type: what it is.
        manifest: the model's.
        max_images: how many there may be.

    Raises:
        KvaeError: it is none of these, damaged, too many, or does not fit the model.
    """
    shape = (manifest.image_shape[0], manifest.image_shape[1], manifest.image_shape[2])
    if content_type.startswith("image/"):
        try:
            found = decoding.decode(body, shape, resize=False)[None]
        except Unusable as error:
            raise KvaeError(f"the picture cannot be used: {error}") from None
        return binarization.as_encoded(manifest, pictures.to_float32(found))
    array = _array(body, content_type, "images")
    if array.shape == shape:
        array = array[None]
    if array.shape[1:] != shape or not 1 <= len(array) <= max_images:
        raise KvaeError(f"expected 1 to {max_images:,} images of shape {shape}; got an array of shape {array.shape}.")
    if array.dtype == np.uint8:
        array = pictures.to_float32(array)
    elif array.dtype.kind != "f":
        raise KvaeError(f"images are bytes (uint8), or floats in [0, 1]; got {array.dtype}.")
    if not (array.min() >= 0 and array.max() <= 1):  # not the same as < 0 or > 1 for NaN
        raise KvaeError(f"images must be in [0, 1]; got [{array.min():g}, {array.max():g}].")
    return binarization.as_encoded(manifest, np.ascontiguousarray(array, np.float32))


def codes(body: bytes, content_type: str, manifest: Manifest, max_images: int) -> Floats:
    """The codes of a request, `(n, latent_dim)`, from a .npy or from JSON, `{"z": [...]}`; see `images`."""
    array = _array(body, content_type, "z")
    if array.ndim == 1:
        array = array[None]
    if array.ndim != 2 or array.shape[1] != manifest.latent_dim or not 1 <= len(array) <= max_images:
        raise KvaeError(
            f"expected 1 to {max_images:,} codes of {manifest.latent_dim} numbers; got an array of shape {array.shape}."
        )
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is refused
        found = np.ascontiguousarray(array, np.float32)
    if not np.isfinite(found).all():
        raise KvaeError("codes must be finite float32 numbers.")
    return found


def _array(body: bytes, content_type: str, name: str) -> NDArray[Any]:
    if content_type == JSON:
        try:
            given = json.loads(body)
            values = given[name] if isinstance(given, dict) else None
            array = np.asarray(values if isinstance(values, list) else None)
        except (ValueError, KeyError, RecursionError) as error:
            raise KvaeError(f'the body is not JSON of the form {{"{name}": [...]}}: {printable(error, 80)}') from None
        if array.dtype.kind not in "fiu":
            raise KvaeError(f'"{name}" must be a list of numbers, or of lists of them that are equally long.')
        return array.astype(np.float64)
    if content_type == NPY:
        return _npy(body)
    raise KvaeError(
        f"the Content-Type must be {JSON}, {NPY} or an image, such as {PNG}; got '{printable(content_type, 60)}'."
    )


def _npy(body: bytes) -> NDArray[Any]:
    file = io.BytesIO(body)
    try:
        shape, by_column, dtype = npy.read_header(file)
    except (ValueError, OSError, EOFError) as error:
        raise KvaeError(f"the body is not a .npy: {printable(error, 80)}") from None
    content = body[file.tell() :]
    # Compared in Python's integers before anything is reserved: a header may lie.
    size = dtype.itemsize
    for length in shape:
        size *= length
    if dtype.hasobject or dtype.kind not in "fiu" or size != len(content) or min(shape, default=1) < 0:
        raise KvaeError("the body is a .npy that is damaged, cut, or not of numbers.")
    return np.frombuffer(content, dtype).reshape(shape, order="F" if by_column else "C")


def answer_images(found: Floats, format: str) -> Response:
    """Images as a PNG, in a grid if there are several, with the pixels of the model; a .npy of floats; or JSON."""
    if format == "npy":
        return _npy_answer(found)
    if format == "json":
        return Response(json_text.dumps({"images": found.tolist()}), media_type=JSON)
    file = io.BytesIO()
    (pictures.picture(found[0]) if len(found) == 1 else pictures.grid(found, scale=1)).save(file, format="PNG")
    return Response(file.getvalue(), media_type=PNG)


def answer_numbers(found: Mapping[str, NDArray[Any]], format: str) -> Response:
    """Named arrays as JSON, in which what is not a number is null, or as an .npz."""
    if format == "json":
        return Response(json_text.dumps({name: array.tolist() for name, array in found.items()}), media_type=JSON)
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **found)
    return Response(file.getvalue(), media_type=NPZ)


def _npy_answer(array: Floats) -> Response:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return Response(file.getvalue(), media_type=NPY)
