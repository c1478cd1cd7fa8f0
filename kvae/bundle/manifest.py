"""The manifest: what a bundle says about itself, and the contract between training and running.

It is the file `manifest.json` in the bundle, and the entry `kvae` in each graph's `metadata_props`, so that a lone
`decoder.onnx` explains itself too. (There `files` is empty, because a file cannot contain its own hash.)
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from kvae.bundle import foreign
from kvae.bundle.fields import (
    CHECKS,
    LATER_FIELDS,
    MAX_DEPTH,
    POSTERIOR_LISTS,
    SINCE_2,
    STANDARD_NORMAL,
    depth,
    shorten,
)
from kvae.config import LIKELIHOODS
from kvae.errors import BundleError
from kvae.files.regular import open_regular

FORMAT_VERSION = 2
"""The latest version that this kvae reads. For older readers it writes version 1 if that suffices."""
FILE_NAME = "manifest.json"
METADATA_KEY = "kvae"
MAX_BYTES = 8 * 2**20
"""Maximum size of a manifest in bytes; one with the statistics of a thousand dimensions has a hundredth of that."""
USED_RATE = 0.01
"""Nats per image from which a latent dimension counts as in use."""


def contract(
    image_shape: Sequence[int],
    latent_dim: int,
    num_parameters: int,
    *,
    labelled: bool = False,
    hierarchical: bool = False,
    own_prior: bool = False,
    components: bool = False,
) -> dict[str, Any]:
    """The tensors that the format requires, as a manifest lists them.

    Args:
        image_shape: `(height, width, channels)`.
        latent_dim: length of z.
        num_parameters: parameters of the likelihood, per pixel and image channel.
        labelled: whether the graphs take the label of each image.
        hierarchical: whether the encoder takes the noise of the posterior's draw.
        own_prior: whether the prior is another than N(0, I), with two graphs of its own.
        components: whether its graph takes the component of each draw.

    Returns:
        The `inputs` and `outputs` of each graph, each `{name, dtype, shape}`: of "decoder", of "encoder", and with
        `own_prior` of "prior" and "prior_density".
    """

    def tensor(name: str, *shape: int, dtype: str = "float32") -> dict[str, Any]:
        return {"name": name, "dtype": dtype, "shape": ["batch", *shape]}

    height, width, channels = image_shape
    label = [tensor("label", dtype="int64")] if labelled else []
    noise = tensor("noise", latent_dim)
    graphs = {
        "decoder": {
            "inputs": [tensor("z", latent_dim), *label],
            "outputs": [
                tensor("mean", height, width, channels),
                tensor("likelihood_parameters", height, width, channels * num_parameters),
            ],
        },
        "encoder": {
            "inputs": [tensor("images", height, width, channels), *label, *([noise] if hierarchical else [])],
            "outputs": [tensor("loc", latent_dim), tensor("scale", latent_dim)],
        },
    }
    if own_prior:
        component = [tensor("component", dtype="int64")] if components else []
        graphs["prior"] = {"inputs": [noise, *component, *label], "outputs": [tensor("z", latent_dim)]}
        graphs["prior_density"] = {"inputs": [tensor("z", latent_dim), *label], "outputs": [tensor("log_prob")]}
    return graphs


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a program needs to know to use a bundle, and a person needs to know to trust it."""

    format_version: int = 1
    """Version of this contract; a reader refuses versions later than the one it knows. See `needed_format`."""
    kvae_version: str
    """Version of kvae that wrote the bundle."""
    dataset: dict[str, Any]
    """`name`, `sha256` and `num_images` (of the training split); `licence` of the images, if it is known."""
    image_shape: list[int]
    """`[height, width, channels]`."""
    latent_dim: int
    """Length of z."""
    prior: str = STANDARD_NORMAL
    """The name of p(z): N(0, I), or another, whose draws and density are two graphs (format 2)."""
    components: list[int] | None = None
    """The cumulative weights of the components of a prior that is a mixture (`kvae.bundle.noise`), else null."""
    likelihood: str
    """p(x|z): the name of a likelihood in `kvae.bundle.densities`."""
    likelihood_parameters: list[str]
    """What the last axis of the decoder's second output holds, one after the other, each for all image channels."""
    binarize: str = "none"
    """"none" if the model is for images as they are; "dynamic" if it is for binarised images, which the encoder then
    expects. See `kvae.bundle.binarization`."""
    pixel_range: list[float] = field(default_factory=lambda: [0.0, 1.0])
    """Range of the encoder's input and of the decoder's `mean`."""
    labels: list[str] | None = None
    """Class names, if the graphs take a `label`, the index of one; else null."""
    label_weights: list[int] | None = None
    """The cumulative weights of the labels among the training images, which stand for p(y); null without labels."""
    groups: list[int] | None = None
    """The sizes of the groups of latent dimensions, in order, if the posterior of each depends on the draws of those
    before it: then the encoder takes `noise`. Else null."""
    tensors: dict[str, Any]
    """The `inputs` and `outputs` of each graph, as in `contract`; "batch" is the only dynamic dimension."""
    opset: int
    """Version of the standard ONNX operator set."""
    graph_format: str = "onnx"
    """"onnx", or "ort" for onnxruntime's own format; also the suffix of the graphs' files."""
    precision: str = "float32"
    """Precision of the weights: "float32", "float16" or "int8"."""
    metrics: dict[str, Any]
    """Test metrics of the float32 model, each `{value, standard_error}` in nats per image; empty if none were
    measured."""
    parity: dict[str, Any] | None = None
    """`tolerance`, and `errors`: for each output the largest difference between Keras and onnxruntime at export."""
    posterior: dict[str, Any] | None = None
    """What each latent dimension does, over `num_images` training images; see
    `kvae.runtime.scoring.training_statistics`."""
    scoring: dict[str, Any] | None = None
    """The ELBO of `num_images` training images, as `percents` and the `elbo` of each; see `kvae.runtime.scoring`."""
    conversion: dict[str, Any] | None = None
    """How graphs of another precision compare with the float32 graphs they were made from; see
    `kvae.conversion.conversion`."""
    training: dict[str, Any]
    """The objective's settings (`kvae.model.objectives`), its `loss_caveat` if it has one, and for a model that
    `kvae train` trained, the training config."""
    files: dict[str, str] = field(default_factory=dict)
    """sha256 of each other file of the bundle."""

    @property
    def has_own_prior(self) -> bool:
        """Whether the prior is another than N(0, I), with the graphs "prior" and "prior_density"."""
        return self.prior != STANDARD_NORMAL

    @property
    def is_of_bits(self) -> bool:
        """Whether the model is for binarised images; see `kvae.bundle.binarization`."""
        return self.binarize == "dynamic"

    def graph_file(self, name: str) -> str:
        """The file name of a graph: "decoder", "encoder", "prior" or "prior_density"."""
        return f"{name}.{self.graph_format}"

    def used_dimensions(self) -> list[int] | None:
        """The latent dimensions that carry `USED_RATE` or more, highest rate first; None if that is unknown."""
        if self.posterior is None:
            return None
        rate = self.posterior["rate"]
        order = sorted(range(self.latent_dim), key=lambda index: -rate[index])
        return [index for index in order if rate[index] >= USED_RATE]

    def to_json(self) -> str:
        """The manifest as JSON text."""
        return json.dumps(self._values(), indent=2) + "\n"

    def for_graph(self) -> str:
        """The JSON inside a graph: the same, but with `files` empty, and without spaces, as only programs read it."""
        return json.dumps(replace(self, files={})._values(), separators=(",", ":"))

    def _values(self) -> dict[str, Any]:
        """The fields of this version."""
        values = asdict(self)
        return values if self.format_version > 1 else {k: v for k, v in values.items() if k not in SINCE_2}

    @classmethod
    def from_json(cls, text: str | bytes, source: str) -> "Manifest":
        """Read and check a manifest, field by field. Unknown fields are ignored.

        Args:
            text: the JSON.
            source: where it came from, for the error message.

        Raises:
            BundleError: it is not JSON, has a later format, or has a field that is missing or of the wrong kind.
        """
        if len(text) > MAX_BYTES:
            raise BundleError(f"{source} is not a kvae manifest: it has more than {MAX_BYTES:,} bytes.")
        try:
            values = json.loads(text, object_pairs_hook=_object)
        except (ValueError, RecursionError) as error:
            if isinstance(text, bytes) and text and not text.lstrip().startswith((b"{", b"[")):
                foreign.check(text, source)
            raise BundleError(f"{source} is not valid JSON ({str(error)[:150]}).") from None
        if not isinstance(values, dict):
            raise BundleError(f"{source} is not a kvae manifest: expected a JSON object.")
        if depth(values) > MAX_DEPTH:
            raise BundleError(
                f"{source} is not a kvae manifest: its lists and objects are nested more than {MAX_DEPTH} deep."
            )
        version = values.get("format_version")
        if not isinstance(version, int) or isinstance(version, bool):
            raise BundleError(f"{source} is not a kvae manifest: it has no format_version.")
        if version < 1:
            raise BundleError(f"{source}: 'format_version' must be at least 1; got {shorten(version)}.")
        if version > FORMAT_VERSION:
            raise BundleError(
                f"{source} has format_version {shorten(version)}; this kvae reads versions up to {FORMAT_VERSION}. "
                f"Install a newer kvae."
            )
        values = LATER_FIELDS | values
        if version == 1:  # which does not have them
            values |= dict.fromkeys(SINCE_2)
        for name, (fits, expected) in CHECKS.items():
            if name not in values:
                raise BundleError(f"{source} lacks the field '{name}'.")
            if not fits(values[name]):
                raise BundleError(f"{source}: '{name}' must be {expected}; got {shorten(values[name])}.")
        posterior = values["posterior"]
        if posterior is not None and any(len(posterior[name]) != values["latent_dim"] for name in POSTERIOR_LISTS):
            raise BundleError(f"{source}: each list in 'posterior' must have latent_dim numbers.")
        parameters = len(values["likelihood_parameters"])
        if version == 1:  # whose graphs take no labels, whatever it names
            values["labels"] = None
        _check_family(values, source)
        tensors = contract(
            values["image_shape"],
            values["latent_dim"],
            parameters,
            labelled=values["labels"] is not None,
            hierarchical=values["groups"] is not None,
            own_prior=values["prior"] != STANDARD_NORMAL,
            components=values["components"] is not None,
        )
        if values["tensors"] != tensors:
            raise BundleError(f"{source}: 'tensors' must be those of format {version} for its other fields.")
        values["tensors"] = tensors  # the manifest may have 3.0 for 3, and true for 1
        _check_likelihood(values, source)
        return cls(**{item.name: values[item.name] for item in fields(cls)})

    def check_inside(self, metadata: Mapping[str, str], source: object) -> None:
        """Refuse a graph whose own manifest differs from this one, which lies beside it.

        Args:
            metadata: the graph's metadata.
            source: the graph, for messages.

        Raises:
            BundleError: the graph has no manifest or an invalid one, or they differ.
        """
        if metadata.get(METADATA_KEY) == self.for_graph():  # nearly always, and quicker than reading it
            return
        inside = asdict(Manifest.of_graph(metadata, source)) | {"files": {}}
        beside = asdict(self) | {"files": {}}
        other = [name for name, value in beside.items() if inside[name] != value]
        if other:
            raise BundleError(
                f"{source}: its embedded manifest differs from {FILE_NAME} in {', '.join(other)}. One of the two files "
                f"comes from another bundle: copy or export the bundle again."
            )

    @classmethod
    def of_graph(cls, metadata: Mapping[str, str], source: object) -> "Manifest":
        """The manifest in a graph's metadata.

        Raises:
            BundleError: the graph has no manifest, or an invalid one.
        """
        if METADATA_KEY not in metadata:
            raise BundleError(
                f"{source} is an ONNX graph that was not exported by kvae: its metadata has no '{METADATA_KEY}' entry. "
                f"Give a graph or a bundle that kvae export or kvae train wrote."
            )
        return cls.from_json(metadata[METADATA_KEY], f"the metadata of {source}")

    @classmethod
    def read(cls, bundle: Path) -> "Manifest":
        """The manifest of a bundle folder.

        Raises:
            BundleError: the folder holds no manifest, or an invalid one.
        """
        path = bundle / FILE_NAME
        try:
            with open_regular(path) as file:
                return cls.from_json(file.read(MAX_BYTES + 1), str(path))
        except FileNotFoundError:
            raise BundleError(
                f"{bundle} is not a bundle: it does not hold a {FILE_NAME}; {foreign.about_folder(bundle)}."
            ) from None
        except OSError as error:
            raise BundleError(f"cannot read {path}: {error.strerror}.") from None


def needed_format(prior: str, labels: Sequence[str] | None, groups: Sequence[int] | None) -> int:
    """The version of the format that a model needs: 1 for N(0, I), without labels and groups; else 2."""
    return 1 if prior == STANDARD_NORMAL and labels is None and groups is None else 2


def _check_family(values: dict[str, Any], source: str) -> None:
    """Refuse a prior, labels and groups that contradict one another or the version."""
    prior, labels, weights, groups = (values[name] for name in ("prior", "labels", "label_weights", "groups"))
    if values["format_version"] == 1 and prior != STANDARD_NORMAL:
        raise BundleError(f"{source}: 'prior' must be '{STANDARD_NORMAL}' in format 1; got {shorten(prior)}.")
    if prior == STANDARD_NORMAL and values["components"] is not None:
        raise BundleError(f"{source}: 'components' must be null for the prior {STANDARD_NORMAL}.")
    if (labels is None) != (weights is None) or (labels is not None and len(weights) != len(labels)):
        raise BundleError(f"{source}: 'label_weights' must have a number for each of 'labels', or be null like them.")
    if groups is not None and sum(groups) != values["latent_dim"]:
        raise BundleError(f"{source}: 'groups' must add up to latent_dim, {values['latent_dim']}; got {sum(groups)}.")


def _check_likelihood(values: dict[str, Any], source: str) -> None:
    """Refuse a likelihood that contradicts its parameters or the images; one that this kvae does not know is let be."""
    name, parameters = values["likelihood"], values["likelihood_parameters"]
    if name not in LIKELIHOODS:
        return
    from kvae import likelihoods  # here, because it loads numpy

    expected = list(likelihoods.get(name).parameters)
    if parameters != expected:
        raise BundleError(
            f"{source}: the likelihood {name} has the parameters {', '.join(expected)}; got {shorten(parameters)}."
        )
    if values["binarize"] == "dynamic" and LIKELIHOODS[name] != "dynamic":
        raise BundleError(f"{source}: the likelihood {name} is not for bits, but 'binarize' is 'dynamic'.")


def sha256(path: Path) -> str:
    """The sha256 of a file, in hexadecimal."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; duplicate names are refused, because readers would disagree on their values."""
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError("an object has the same name twice")
    return values
