"""Settings of a model and of its training: defaults, ranges and help texts live here, once.

The command line makes its options from these fields, and a run keeps them as `config.json`.
"""

import re
from collections.abc import Collection
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from kvae.errors import ConfigError
from kvae.files.reading import Reading

ARCHITECTURES = {"conv": 128, "mlp": 512, "gated_mlp": 300}
"""The networks, each a file of `kvae/model/architectures`, and the width of their dense layers unless `hidden_units` is
given."""
LIKELIHOODS = {
    "bernoulli": "dynamic", "continuous_bernoulli": "none", "discretized_logistic": "none", "normal": "none",
}  # fmt: skip
"""The likelihoods, each a file of `kvae/likelihoods`, and how images are binarised for it unless `binarize` is
given."""
PRIORS = {"standard_normal": "N(0, I)"}
"""The priors p(z), each a file of `kvae/model/priors`, and what each is."""
OBJECTIVES = {"elbo": "the evidence lower bound"}
"""The objectives, each a file of `kvae/model/objectives`, and what each is."""
_DEFAULT_TEXT = ", ".join(f"{units} for {name}" for name, units in ARCHITECTURES.items())
REGULARIZERS: dict[str, dict[str, float]] = {
    "kl": {"entropy_weight": 1.0},
    "cross-entropy": {"entropy_weight": 0.0},
    "none": {"beta": 0.0},
}
"""Names for the corners of the loss distortion + beta (H(q, p) - entropy_weight H(q)), as the settings they mean."""


NAME = r"[\w .+-]{1,100}"
"""What a data set of a user's own may be called."""
MIN_SIZE, MAX_SIZE = 8, 256
"""Height and width of images of a user's own, in pixels."""


def _setting(
    default: Any,
    help: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    above: float | None = None,
    choices: Collection[str] | None = None,
    text: bool = False,
) -> Any:
    metadata = {
        "help": help, "minimum": minimum, "maximum": maximum, "above": above, "choices": choices, "text": text,
    }  # fmt: skip
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """What the networks look like. Raises ConfigError for a value outside its range."""

    architecture: str = _setting(
        "conv",
        "Convolutional networks, dense ones, or two gated dense layers on each side.",
        choices=ARCHITECTURES,
    )
    latent_dim: int = _setting(16, "Number of latent dimensions.", minimum=1)
    hidden_units: int | None = _setting(
        None, f"Units of each hidden dense layer. [default: {_DEFAULT_TEXT}]", minimum=1
    )
    likelihood: str = _setting(
        "bernoulli",
        "The likelihood p(x|z): of bits, a density on [0, 1], of 8-bit levels, or a density with a learned scale.",
        choices=LIKELIHOODS,
    )
    prior: str = _setting("standard_normal", "The prior p(z) of the codes.", choices=PRIORS)

    def __post_init__(self) -> None:
        _check(self)
        if self.hidden_units is None:
            object.__setattr__(self, "hidden_units", ARCHITECTURES[self.architecture])


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How a model is trained. Raises ConfigError for a value outside its range."""

    model: ModelConfig = field(default_factory=ModelConfig)
    dataset: str = _setting("fashion_mnist", "Name of the data set; of --data, a name of yours for it.")
    data: str | None = _setting(
        None,
        "Images of your own: a folder of pictures (sub-folders are labels), a .npy or .npz, an idx file, or TFRecords.",
        text=True,
    )
    image_size: str | None = _setting(
        None,
        "Bring the images of --data to this size, HEIGHTxWIDTH or one number for both, of 8 to 256 pixels. "
        "[default: all have one size]",
        text=True,
    )
    grayscale: bool = _setting(False, "Take the images of --data as grey.")
    alpha: str | None = _setting(
        None,
        "Put transparent pictures of --data on this colour. [default: they are skipped]",
        choices=("white", "black"),
    )
    levels: str | None = _setting(
        None,
        "Read pictures and arrays of more than 8 bits: MIN:MAX, the levels that become black and white. "
        "[default: they are skipped]",
        text=True,
    )
    split_seed: int = _setting(
        0, "Seed of the splits of --data: an image's split depends on it and on the image alone.", minimum=0
    )
    max_bad: int = _setting(
        100, "Images of --data that may be skipped because they cannot be used; beyond it is an error.", minimum=0
    )
    binarize: str | None = _setting(
        None,
        "Draw each pixel as 0 or 1, its intensity being the probability: anew in each epoch (dynamic), or not at all. "
        "bernoulli with none takes grey intensities: a surrogate, not a likelihood. "
        "[default: dynamic for bernoulli, else none]",
        choices=("dynamic", "none"),
    )
    epochs: int = _setting(20, "Passes over the training images.", minimum=1)
    batch_size: int = _setting(128, "Images per optimiser step.", minimum=1)
    learning_rate: float = _setting(
        2e-3, "Adam's highest learning rate; after the warm-up it falls to 0 along half a cosine.", above=0.0
    )
    lr_warmup_steps: int = _setting(
        0,
        "Optimiser steps over which the learning rate first grows from 0, linearly; for a large one.",
        minimum=0,
    )
    adam_beta2: float = _setting(
        0.999,
        "Adam's decay of the squared gradients per step; 0.99 served a short run with a large rate.",
        minimum=0.0,
        maximum=0.9999,
    )
    objective: str = _setting("elbo", "What training maximises.", choices=OBJECTIVES)
    beta: float = _setting(1.0, "Weight of the regulariser H(q, p) - entropy_weight H(q) in the loss.", minimum=0.0)
    entropy_weight: float = _setting(
        1.0,
        "Weight of the posterior's entropy in the regulariser: 1 is the KL, 0 the cross-entropy. "
        "Anything but 1 is no bound on the likelihood.",
        minimum=0.0,
    )
    kl_warmup_epochs: int = _setting(0, "Epochs over which beta grows from 0, linearly.", minimum=0)
    patience: int | None = _setting(
        None, "Stop after so many epochs without a better validation loss. [default: train all epochs]", minimum=1
    )
    max_skipped_steps: int = _setting(
        10, "Steps that may be skipped because the loss or a gradient is not finite; then training stops.", minimum=0
    )
    seed: int = _setting(
        0, "Seed of the weights, the order of images and the posterior's draws.", minimum=0, maximum=2**32 - 1
    )
    precision: str = _setting(
        "float32",
        "Arithmetic of the networks; mixed_bfloat16 is for a GPU, and slower on a CPU. Weights are float32 in both.",
        choices=("float32", "mixed_bfloat16"),
    )
    jit: str = _setting(
        "auto",
        "Compile the training step with XLA. auto: on a GPU, and for the dense networks on a CPU.",
        choices=("auto", "on", "off"),
    )
    deterministic: bool = _setting(
        False, "The same weights, bit for bit, from two runs on one machine; docs/results.md has what it costs."
    )
    pictures_every: int = _setting(
        5, "Epochs between two pictures of samples and reconstructions; 0 for none.", minimum=0
    )
    tensorboard: bool = _setting(False, "Write TensorBoard events into the run's folder too.")

    def __post_init__(self) -> None:
        _check(self)
        self._check_data()
        if self.deterministic and self.jit == "on":
            raise ConfigError("deterministic training does without XLA: jit must be auto or off; got on.")
        likelihood = self.model.likelihood
        if self.binarize is None:
            object.__setattr__(self, "binarize", LIKELIHOODS[likelihood])
        if self.is_of_bits and LIKELIHOODS[likelihood] != "dynamic":
            raise ConfigError(
                f"binarize must be none for the likelihood {likelihood}, which is not one of bits; got dynamic."
            )
        if self.kl_warmup_epochs >= self.epochs:
            raise ConfigError(
                f"kl_warmup_epochs must be less than epochs ({self.epochs}), or beta is never reached; "
                f"got {self.kl_warmup_epochs}."
            )

    def _check_data(self) -> None:
        if self.data is None:
            given = [name for name in ("image_size", "grayscale", "alpha", "levels") if getattr(self, name)]
            if given:
                raise ConfigError(f"{given[0]} is for images of your own: it takes data beside it.")
            return
        if self.dataset == TrainConfig.__dataclass_fields__["dataset"].default:
            object.__setattr__(self, "dataset", _name_of(self.data))
        if not re.fullmatch(NAME, self.dataset):
            raise ConfigError(
                f"dataset must be a name of up to 100 letters, digits, spaces and any of . _ + - for images of your "
                f"own; got {self.dataset!r}."
            )
        self.size, self.reading  # noqa: B018  # which are checked as they are read

    @property
    def is_of_bits(self) -> bool:
        """Whether the model is one of binarised images; see `kvae.bundle.binarization`."""
        return self.binarize == "dynamic"

    @property
    def size(self) -> tuple[int, int] | None:
        """`image_size` as (height, width); None where it is not given."""
        if self.image_size is None:
            return None
        found = re.fullmatch(r"(\d{1,4})(?:x(\d{1,4}))?", self.image_size.lower())
        height, width = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
        if not (MIN_SIZE <= height <= MAX_SIZE and MIN_SIZE <= width <= MAX_SIZE):
            raise ConfigError(
                f"image_size must be HEIGHTxWIDTH or one number for both, each of {MIN_SIZE} to {MAX_SIZE}; "
                f"got '{self.image_size}'."
            )
        return height, width

    @property
    def reading(self) -> Reading:
        """What `alpha` and `levels` say about pictures."""
        return Reading.of(self.alpha, self.levels)

    def to_dict(self) -> dict[str, Any]:
        """The settings as JSON values; `from_dict` reads them back."""
        return asdict(self)

    def to_publish(self) -> dict[str, Any]:
        """The settings as a bundle tells them to others: without the path of the data."""
        return self.to_dict() | {"data": None if self.data is None else _name_of(self.data)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "TrainConfig":
        """The config that `to_dict` described.

        Raises:
            ConfigError: a setting is unknown or outside its range.
        """
        if not isinstance(values, dict):
            raise ConfigError(f"not a kvae training config: expected an object, got {type(values).__name__}.")
        try:
            values = dict[str, Any](binarize="none") | values  # configs of kvae before it could binarise
            return cls(**(values | {"model": ModelConfig(**values.get("model", {}))}))
        except (TypeError, AttributeError) as error:
            raise ConfigError(f"not a kvae training config: {error}.") from None


def _name_of(path: str) -> str:
    """What images of a user's own are called: the file's or the folder's name, as a bundle can tell it."""
    stem = Path(path).resolve().name.partition(".")[0]
    return re.sub(r"[^\w +-]", "_", stem)[:100] or "images"


def from_settings(settings: dict[str, Any]) -> TrainConfig:
    """The config that flat settings describe, of the model and of its training side by side.

    Args:
        settings: fields of TrainConfig and ModelConfig; those that are missing take their defaults. `regularizer`, a
            key of `REGULARIZERS`, stands for the settings it names.

    Raises:
        ConfigError: a setting is unknown, outside its range, or contradicts the regulariser.
    """
    settings = dict(settings)
    name = settings.pop("regularizer", None)
    if name is not None:
        if name not in REGULARIZERS:
            raise ConfigError(f"regularizer must be one of {', '.join(REGULARIZERS)}; got '{name}'.")
        for key, value in REGULARIZERS[name].items():
            if settings.setdefault(key, value) != value:
                raise ConfigError(f"regularizer {name} means {key} {value}; got {key} {settings[key]} beside it.")
    model = {key: settings.pop(key) for key in list(settings) if key in ModelConfig.__dataclass_fields__}
    unknown = set(settings) - set(TrainConfig.__dataclass_fields__) | set(settings) & {"model"}
    if unknown:
        raise ConfigError(f"unknown setting: {', '.join(sorted(unknown))}.")
    return TrainConfig(model=ModelConfig(**model), **settings)


def kind_of(item: Any) -> type:
    """Whether a field of a config holds str, bool, float or int."""
    if item.default is None:
        return str if item.metadata["text"] else int
    return type(item.default)


def _check(config: Any) -> None:
    for item in fields(config):
        rules, value = item.metadata, getattr(config, item.name)
        if not rules or (value is None and item.default is None):
            continue
        if rules["choices"]:
            if value not in rules["choices"]:
                raise ConfigError(f"{item.name} must be one of {', '.join(rules['choices'])}; got '{value}'.")
            continue
        kind = kind_of(item)
        # Nor NaN, nor an integer that no float holds, of which isfinite is not asked.
        number = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e300
        if kind in (str, bool):
            fits = isinstance(value, kind)
        elif kind is int:
            fits = number and isinstance(value, int)
        else:
            fits = number
        if fits and kind not in (str, bool):
            fits = (
                (rules["minimum"] is None or value >= rules["minimum"])
                and (rules["maximum"] is None or value <= rules["maximum"])
                and (rules["above"] is None or value > rules["above"])
            )
        if not fits:
            raise ConfigError(f"{item.name} must be {_describe(kind, rules)}; got {value!r}.")


def _describe(kind: type, rules: Any) -> str:
    noun = {int: "an integer", float: "a number", str: "a name", bool: "true or false"}[kind]
    bounds = [
        f"{words} {rules[key]:g}" if key != "maximum" else f"{words} {rules[key]}"
        for key, words in (("minimum", "of at least"), ("maximum", "at most"), ("above", "above"))
        if rules[key] is not None
    ]
    return " ".join([noun, " and ".join(bounds)]).strip()
