"""The manifest: what a bundle says about itself, and the contract between the training and the runtime world.

It stands in the bundle as `manifest.json`, and in each graph's `metadata_props` under the key `kvae`, so that a lone
`decoder.onnx` explains itself too. (There `files` is empty: a file cannot contain its own hash.)
"""

import hashlib
import json
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from kvae.errors import BundleError

FORMAT_VERSION = 1
FILE_NAME = "manifest.json"
METADATA_KEY = "kvae"


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a program needs to know to use a bundle, and a person to trust it."""

    format_version: int = FORMAT_VERSION
    """Version of this contract; a reader refuses a later one than it knows."""
    kvae_version: str
    """Version of kvae that wrote the bundle."""
    dataset: dict[str, Any]
    """`name`, `sha256` and `num_images` (of the training split)."""
    image_shape: list[int]
    """`[height, width, channels]`."""
    latent_dim: int
    """Length of z."""
    prior: str = "standard_normal"
    """p(z); in format 1 always N(0, I)."""
    likelihood: str
    """p(x|z): "bernoulli" or "normal"."""
    likelihood_parameters: list[str]
    """What the channels of the decoder's second output are, e.g. `["logits"]`: one per parameter and image channel."""
    pixel_range: list[float] = field(default_factory=lambda: [0.0, 1.0])
    """Range of the encoder's input and of the decoder's `mean`."""
    labels: list[str] | None = None
    """Class names, where the graphs take a `label`; null where they take none."""
    tensors: dict[str, Any]
    """Per graph its `inputs` and `outputs`: a list of `{name, dtype, shape}`; "batch" is the one dynamic dimension."""
    opset: int
    """Version of the standard ONNX operator set."""
    precision: str = "float32"
    """Precision of the weights."""
    metrics: dict[str, Any]
    """Test metrics, each `{value, standard_error}` in nats per image; empty where none were measured."""
    training: dict[str, Any]
    """The training config; empty where a model was not trained by `kvae train`."""
    files: dict[str, str] = field(default_factory=dict)
    """sha256 of each other file of the bundle."""

    def to_json(self) -> str:
        """The manifest as JSON text."""
        return json.dumps(asdict(self), indent=2) + "\n"

    def for_graph(self) -> str:
        """The JSON that stands inside a graph: the same, with `files` empty."""
        return replace(self, files={}).to_json()

    @classmethod
    def from_json(cls, text: str | bytes, source: str) -> "Manifest":
        """Read and check a manifest, field by field. Fields this version does not know are left aside.

        Args:
            text: the JSON.
            source: where it came from, for the error message.

        Raises:
            BundleError: not JSON, a later format, a field that is missing or of the wrong kind.
        """
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise BundleError(f"{source} is not valid JSON ({error}).") from None
        if not isinstance(values, dict):
            raise BundleError(f"{source} is not a kvae manifest: expected a JSON object.")
        version = values.get("format_version")
        if not isinstance(version, int) or isinstance(version, bool):
            raise BundleError(f"{source} is not a kvae manifest: it has no format_version.")
        if version > FORMAT_VERSION:
            raise BundleError(
                f"{source} has format_version {version}; this kvae reads up to {FORMAT_VERSION}. Use a newer kvae."
            )
        for name, (fits, expected) in _CHECKS.items():
            if name not in values:
                raise BundleError(f"{source} lacks the field '{name}'.")
            if not fits(values[name]):
                raise BundleError(f"{source}: '{name}' must be {expected}; got {_shorten(values[name])}.")
        return cls(**{item.name: values[item.name] for item in fields(cls)})

    @classmethod
    def read(cls, bundle: Path) -> "Manifest":
        """The manifest of a bundle folder.

        Raises:
            BundleError: the folder holds none, or it is not a valid one.
        """
        path = bundle / FILE_NAME
        try:
            return cls.from_json(path.read_bytes(), str(path))
        except FileNotFoundError:
            raise BundleError(f"{bundle} is not a bundle: it holds no {FILE_NAME}.") from None
        except OSError as error:
            raise BundleError(f"cannot read {path}: {error.strerror}.") from None


def sha256(path: Path) -> str:
    """Hex digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_positive(value: Any) -> bool:
    return _is_int(value) and value > 0


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _is_list_of(value: Any, fits: Any) -> bool:
    return isinstance(value, list) and all(fits(item) for item in value)


def _are_tensors(value: Any) -> bool:
    def is_tensor(item: Any) -> bool:
        return _is_object(item) and _is_text(item.get("name")) and isinstance(item.get("shape"), list)

    return _is_object(value) and all(
        _is_object(graph) and all(_is_list_of(graph.get(end), is_tensor) for end in ("inputs", "outputs"))
        for graph in value.values()
    )


def _are_hashes(value: Any) -> bool:
    return _is_object(value) and all(_is_text(digest) and Path(name).name == name for name, digest in value.items())


def _shorten(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


_CHECKS = {
    "kvae_version": (_is_text, "text"),
    "dataset": (_is_object, "an object"),
    "image_shape": (lambda v: _is_list_of(v, _is_positive) and len(v) == 3, "[height, width, channels]"),
    "latent_dim": (_is_positive, "a positive integer"),
    "prior": (lambda v: v == "standard_normal", "'standard_normal'"),
    "likelihood": (_is_text, "text"),
    "likelihood_parameters": (lambda v: _is_list_of(v, _is_text), "a list of names"),
    "pixel_range": (lambda v: v == [0.0, 1.0], "[0.0, 1.0]"),
    "labels": (lambda v: v is None or _is_list_of(v, _is_text), "null or a list of names"),
    "tensors": (_are_tensors, "inputs and outputs of each graph"),
    "opset": (_is_positive, "a positive integer"),
    "precision": (_is_text, "text"),
    "metrics": (_is_object, "an object"),
    "training": (_is_object, "an object"),
    "files": (_are_hashes, "file names with their sha256"),
}
