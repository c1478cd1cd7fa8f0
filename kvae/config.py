"""Settings of a model and of its training: the only place for their defaults, ranges and help texts.

The command line makes its options from these fields, and a run stores them as `config.json`.
"""

import re
from collections.abc import Collection
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from kvae.errors import ConfigError
from kvae.files.reading import Reading
from kvae.numbers import is_finite

ARCHITECTURES = {"conv": 128, "mlp": 512, "gated_mlp": 300, "ladder": 256}
"""The networks, each a file of `kvae/model/architectures`, and the width of their dense layers if `hidden_units` is not
given."""
LIKELIHOODS = {
    "bernoulli": "dynamic", "continuous_bernoulli": "none", "discretized_logistic": "none", "normal": "none",
}  # fmt: skip
"""The likelihoods, each a file of `kvae/likelihoods`, and how images are binarised for it if `binarize` is not
given."""
PRIORS = {
    "standard_normal": "N(0, I)",
    "mixture": "a learned mixture of diagonal Gaussians",
    "vamp": "the mixture of the posteriors of learned pseudo-inputs",
    "flow": "a learned flow of affine couplings",
}
"""The priors p(z), each a file of `kvae/model/priors`, and what each is."""
PRIOR_COMPONENTS = {"mixture": 100, "vamp": 500}
"""The priors that have components, and how many if `prior_components` is not given; 500 as in the VampPrior's paper."""
FITTED_PRIORS = ("mixture", "flow")
"""The priors that can be fitted afterwards to the codes of a finished model."""
NAMED_LIKELIHOOD = "bernoulli"
"""The likelihood for the named data sets if none is given: with dynamic binarisation, the benchmark of the field."""
OBJECTIVES = {"elbo": "the evidence lower bound", "iwae": "the importance-weighted bound of several draws"}
"""The objectives, each a file of `kvae/model/objectives`, and what each is."""
NUM_DRAWS = {"iwae": 5}
"""The draws from each posterior if `num_draws` is not given, for objectives that do not make do with one."""
ELBO_ONLY = ("beta", "entropy_weight", "free_bits")
"""The settings that iwae does not have: with them its loss would not be a bound at the end of the training either."""
DATASETS = {
    "fashion_mnist": "70,000 grey pictures of clothes, 28 x 28",
    "mnist": "70,000 handwritten digits, 28 x 28",
    "fashion_mnist_mini": "5,000 pictures of fashion_mnist, which come with kvae",
}
"""The named data sets, each a file of `kvae/data/named`, and what each is."""
_COMPONENTS_TEXT = ", ".join(f"{count} for {name}" for name, count in PRIOR_COMPONENTS.items())
MAX_COMPONENTS = 10_000
"""The most components that a prior may have, as many as a bundle's manifest may list."""
_DEFAULT_TEXT = ", ".join(f"{units} for {name}" for name, units in ARCHITECTURES.items())
REGULARIZERS: dict[str, dict[str, float]] = {
    "kl": {"entropy_weight": 1.0},
    "cross-entropy": {"entropy_weight": 0.0},
    "none": {"beta": 0.0},
}
"""Names for special cases of the loss distortion + beta (H(q, p) - entropy_weight H(q)), as settings."""


PATHS = ("data", "validation_data", "test_data")
"""The settings that say where a user's own images are."""
OWN_IMAGES = ("validation_data", "test_data", "image_size", "grayscale", "alpha", "levels")
"""The settings that only a user's own images can have."""
NAME = r"[\w .+-]{1,100}"
"""Names that a user may give their own images."""
MIN_SIZE, MAX_SIZE = 8, 256
"""Height and width, in pixels, that a user's own images may have; a table's rows have any number of columns."""


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
        "Convolutional networks, dense networks, two gated dense layers in each of encoder and decoder, or a hierarchy "
        "of convolutional blocks with groups of latent dimensions from coarse to fine.",
        choices=ARCHITECTURES,
    )
    latent_dim: int = _setting(
        16,
        "Number of latent dimensions; for ladder, those of the first group, to which more come by the image's size.",
        minimum=1,
    )
    hidden_units: int | None = _setting(
        None, f"Units of each hidden dense layer. [default: {_DEFAULT_TEXT}]", minimum=1
    )
    likelihood: str | None = _setting(
        None,
        "The likelihood p(x|z): for bits, a density on [0, 1], for 8-bit levels, or a density with a learned scale. "
        "[default: with --data, bernoulli if every pixel is black or white, else discretized_logistic; bernoulli for "
        "the named data sets, with dynamic binarisation, the benchmark of the field]",
        choices=LIKELIHOODS,
    )
    """None until `kvae.data.settle` has chosen it from the user's own images."""
    prior: str = _setting(
        "standard_normal",
        "The prior p(z) of the codes: N(0, I), a learned mixture of Gaussians, the mixture of the posteriors of "
        "learned pseudo-inputs (VampPrior), or a learned flow.",
        choices=PRIORS,
    )
    prior_components: int | None = _setting(
        None,
        f"Components of the prior. A step of vamp also encodes as many pseudo-inputs. [default: {_COMPONENTS_TEXT}]",
        minimum=1,
        maximum=MAX_COMPONENTS,
    )
    conditional: bool = _setting(
        False,
        "Condition the model on the images' labels, p(x|z, y), so that kvae sample --label draws one class. The data "
        "must have labels: sub-folders, or the labels of an .npz.",
    )

    def __post_init__(self) -> None:
        _check(self)
        if self.prior not in PRIOR_COMPONENTS and self.prior_components is not None:
            raise ConfigError(
                f"prior_components is for the priors {' and '.join(PRIOR_COMPONENTS)}; got "
                f"{self.prior_components} with {self.prior}. Leave it out."
            )
        components, units = PRIOR_COMPONENTS.get(self.prior), ARCHITECTURES[self.architecture]
        defaults = {"prior_components": components, "hidden_units": units}
        left = {name: default for name, default in defaults.items() if getattr(self, name) is None}
        for name, default in left.items():
            object.__setattr__(self, name, default)
        object.__setattr__(self, "_left", tuple(left))  # not a field: it is neither compared nor stored

    def changed(self, **settings: Any) -> "ModelConfig":
        """These settings with others in their place.

        Unlike `dataclasses.replace`, it gives what was left at the default of the old architecture or prior the default
        of the new one.
        """
        left = dict.fromkeys(getattr(self, "_left", ()))
        return ModelConfig(**(asdict(self) | left | settings))


@dataclass(frozen=True, kw_only=True)
class PriorFitConfig:
    """How a prior is fitted afterwards to a finished model. Raises ConfigError for a value outside its range."""

    prior: str = _setting("mixture", "The prior to fit: a mixture of Gaussians, or a flow.", choices=FITTED_PRIORS)
    prior_components: int | None = _setting(
        None,
        f"Components of a mixture. [default: {PRIOR_COMPONENTS['mixture']}]",
        minimum=1,
        maximum=MAX_COMPONENTS,
    )
    epochs: int = _setting(50, "Passes over the training images' codes, which are drawn anew for each.", minimum=1)
    batch_size: int = _setting(256, "Codes per optimiser step.", minimum=1)
    learning_rate: float = _setting(
        3e-3, "Adam's first learning rate, which decays to 0 along half a cosine.", above=0.0
    )
    seed: int = _setting(
        0, "Seed of the prior's weights, and of the draws and their order.", minimum=0, maximum=2**32 - 1
    )

    def __post_init__(self) -> None:
        _check(self)
        if self.prior not in PRIOR_COMPONENTS and self.prior_components is not None:
            raise ConfigError(
                f"prior_components is for fitting a mixture; got {self.prior_components} with {self.prior}. Leave it "
                f"out."
            )
        settled = ModelConfig(prior=self.prior, prior_components=self.prior_components)
        object.__setattr__(self, "prior_components", settled.prior_components)


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How a model is trained. Raises ConfigError for a value outside its range."""

    model: ModelConfig = field(default_factory=ModelConfig)
    dataset: str = _setting("fashion_mnist", "Data set to train on; with --data, the name to give your images.")
    data: str | None = _setting(
        None,
        "Train on your own images: a folder of pictures (sub-folders are labels, or splits if they are named train, "
        "val and test), a .npy or .npz, an idx file, or TFRecords. A .npy of shape (n, k) is a table.",
        text=True,
    )
    validation_data: str | None = _setting(
        None,
        "Your own validation images, in any form that --data takes. [default: a tenth of those of --data, unless these "
        "come with a validation split]",
        text=True,
    )
    test_data: str | None = _setting(
        None,
        "Your own test images, in any form that --data takes. [default: a tenth of those of --data, unless these come "
        "with a test split]",
        text=True,
    )
    image_size: str | None = _setting(
        None,
        "Resize the images of --data to HEIGHTxWIDTH, or to one number for both, from 8 to 256 pixels. "
        "[default: no resizing; images of another size than most are skipped]",
        text=True,
    )
    grayscale: bool = _setting(False, "Convert the images of --data to grey.")
    alpha: str | None = _setting(
        None,
        "Background colour for transparent pictures of --data. [default: they are skipped]",
        choices=("white", "black"),
    )
    levels: str | None = _setting(
        None,
        "Read images of --data with more than 8 bits; MIN:MAX are the levels that become black and white. "
        "[default: they are skipped]",
        text=True,
    )
    split_seed: int = _setting(
        0, "Seed of the splits of --data; an image's split depends only on the seed and the image.", minimum=0
    )
    max_bad: int = _setting(
        100, "Maximum number of images of --data to skip because they cannot be used; more are an error.", minimum=0
    )
    binarize: str | None = _setting(
        None,
        "dynamic draws each pixel as 0 or 1 in every epoch, with its intensity as the probability; none keeps the "
        "intensities. bernoulli with none is a surrogate, not a likelihood. "
        "[default: dynamic for bernoulli, else none]",
        choices=("dynamic", "none"),
    )
    shift: int = _setting(
        0,
        "Move each training image by up to this many pixels, up or down and left or right, at random in every epoch; "
        "the border's pixels are repeated. Against overfitting. 0 for none.",
        minimum=0,
    )
    epochs: int = _setting(20, "Passes over the training images.", minimum=1)
    batch_size: int = _setting(128, "Images per optimiser step.", minimum=1)
    learning_rate: float = _setting(
        2e-3, "Adam's peak learning rate; after the warm-up it decays to 0 along half a cosine.", above=0.0
    )
    lr_warmup_steps: int = _setting(
        0,
        "Optimiser steps over which the learning rate first grows linearly from 0; useful if it is large.",
        minimum=0,
    )
    adam_beta2: float = _setting(
        0.999,
        "Adam's beta_2, the decay of the squared gradients per step; 0.99 worked well for short runs with a large "
        "learning rate.",
        minimum=0.0,
        maximum=0.9999,
    )
    clip_norm: float = _setting(
        0.0, "Scale the gradient of all weights down to this norm if it is larger; 0 for no limit.", minimum=0.0
    )
    ema: float = _setting(
        0.0,
        "Validate, keep and export a moving average of the weights, with this decay per step, such as 0.999; 0 for "
        "none.",
        minimum=0.0,
        maximum=0.999999,
    )
    objective: str = _setting(
        "elbo",
        "What training maximises: the ELBO, or the importance-weighted bound of several draws.",
        choices=OBJECTIVES,
    )
    num_draws: int | None = _setting(
        None,
        "Draws from each image's posterior in the loss; each is decoded. [default: 1, for iwae 5]",
        minimum=1,
        maximum=1000,
    )
    beta: float = _setting(1.0, "Weight of the regulariser H(q, p) - entropy_weight H(q) in the loss.", minimum=0.0)
    entropy_weight: float = _setting(
        1.0,
        "Weight of the posterior's entropy in the regulariser: 1 is the KL, 0 the cross-entropy. "
        "With any value but 1 the loss is not a bound on the likelihood.",
        minimum=0.0,
    )
    kl_warmup_epochs: int = _setting(0, "Epochs over which beta grows linearly from 0.", minimum=0)
    beta_schedule: str | None = _setting(
        None,
        "How beta changes: linear grows from 0 over --kl-warmup-epochs, or over half of the epochs; cyclical does so "
        "in each quarter of the training; or the beta of each epoch, such as 0,0.1,0.5,1, of which the last stays and "
        "is --beta. [default: linear over --kl-warmup-epochs, if given]",
        text=True,
    )
    free_bits: float = _setting(
        0.0,
        "Nats that each latent dimension may carry at no cost in the loss, on average over a batch; keeps dimensions "
        "from collapsing. 0 for none.",
        minimum=0.0,
    )
    patience: int | None = _setting(
        None, "Stop after this many epochs without a better validation loss. [default: train all epochs]", minimum=1
    )
    max_skipped_steps: int = _setting(
        10,
        "Maximum number of steps to skip because the loss or a gradient is not finite; more end training.",
        minimum=0,
    )
    seed: int = _setting(
        0, "Seed of the weights, the order of images and the posterior's draws.", minimum=0, maximum=2**32 - 1
    )
    precision: str = _setting(
        "float32",
        "Arithmetic of the networks; mixed_bfloat16 is for GPUs, and slower on a CPU. Weights are float32 in both.",
        choices=("float32", "mixed_bfloat16"),
    )
    jit: str = _setting(
        "auto",
        "Compile the training step with XLA. auto does so on a GPU, and for dense networks on a CPU.",
        choices=("auto", "on", "off"),
    )
    deterministic: bool = _setting(
        False, "Train to the same weights, bit for bit, in every run on one machine; docs/results.md has the cost."
    )
    pictures_every: int = _setting(
        5, "Epochs between pictures of samples and reconstructions; 0 for no pictures.", minimum=0
    )
    tensorboard: bool = _setting(False, "Also write TensorBoard events to the run's folder.")
    init_from: str | None = _setting(
        None,
        "Start from the weights of a RUN or a .keras file, with the settings of its model unless you give others.",
        text=True,
    )
    init_sha256: str | None = None
    """The hash of the file of `init_from`, which `kvae.training.train` records."""
    prior_fit: dict[str, Any] | None = None
    """If the prior was fitted afterwards: the fields of a `PriorFitConfig`, the `run` whose encoder and decoder these
    are, which the other settings describe, and the `sha256` of its model."""

    def __post_init__(self) -> None:
        _check(self)
        self._check_data()
        if self.deterministic and self.jit == "on":
            raise ConfigError("deterministic training cannot use XLA: jit must be auto or off; got on.")
        likelihood = self.model.likelihood
        if likelihood is None and (self.data is None or self.is_of_bits):
            likelihood = NAMED_LIKELIHOOD
            object.__setattr__(self, "model", self.model.changed(likelihood=likelihood))
        if self.binarize is None and likelihood is not None:
            object.__setattr__(self, "binarize", LIKELIHOODS[likelihood])
        if self.is_of_bits and LIKELIHOODS[str(likelihood)] != "dynamic":
            raise ConfigError(
                f"binarize must be none for the likelihood {likelihood}, which is not for bits; got dynamic."
            )
        if self.kl_warmup_epochs >= self.epochs:
            raise ConfigError(
                f"kl_warmup_epochs must be less than epochs ({self.epochs}), or beta never reaches its value; "
                f"got {self.kl_warmup_epochs}."
            )
        self._check_loss()
        self.fit  # noqa: B018  # the property checks it

    def _check_loss(self) -> None:
        if self.num_draws is None:
            object.__setattr__(self, "num_draws", NUM_DRAWS.get(self.objective, 1))
        for name in ELBO_ONLY if self.objective == "iwae" else ():
            if getattr(self, name) != (default := self.__dataclass_fields__[name].default):
                raise ConfigError(
                    f"{name} belongs to the objective elbo; iwae, which weights its draws by themselves, has none: got "
                    f"{getattr(self, name)!r}. Leave it at {default!r}, or use the objective elbo."
                )
        schedule = self.beta_schedule
        if schedule not in (None, "linear") and self.kl_warmup_epochs:
            raise ConfigError(
                f"kl_warmup_epochs is the length of the linear schedule; got {self.kl_warmup_epochs} with "
                f"beta_schedule {schedule}. Leave one of them out."
            )
        if betas := self.betas:
            if len(betas) > self.epochs:
                raise ConfigError(f"beta_schedule has {len(betas)} epochs, more than the training's {self.epochs}.")
            if betas[-1] != self.beta or not self.beta:
                raise ConfigError(
                    f"beta_schedule must end with beta, the weight of validation and of the best model, which must be "
                    f"above 0; it ends with {betas[-1]:g}, and beta is {self.beta:g}."
                )
        if self.free_bits and self.entropy_weight != 1.0:
            raise ConfigError(
                f"free_bits is about the KL, so entropy_weight must be 1; got {self.entropy_weight:g} with free_bits "
                f"{self.free_bits:g}."
            )
        if self.free_bits and not self.beta:
            raise ConfigError(f"free_bits {self.free_bits:g} has no effect with beta 0. Leave one of them out.")

    def _check_data(self) -> None:
        if self.data is None:
            given = [name for name in OWN_IMAGES if getattr(self, name)]
            if given:
                raise ConfigError(f"{given[0]} is for your own images; use it together with data.")
            return
        if self.dataset == TrainConfig.__dataclass_fields__["dataset"].default:
            object.__setattr__(self, "dataset", _name_of(self.data))
        if not re.fullmatch(NAME, self.dataset):
            raise ConfigError(
                f"dataset, the name for your own images, must be up to 100 letters, digits, spaces and any of . _ + -; "
                f"got {self.dataset!r}."
            )
        self.size, self.reading  # noqa: B018  # the properties check the settings

    @property
    def is_of_bits(self) -> bool:
        """Whether the model is for binarised images; see `kvae.bundle.binarization`."""
        return self.binarize == "dynamic"

    @property
    def betas(self) -> tuple[float, ...]:
        """The beta of each of the first epochs, if `beta_schedule` lists them; else empty."""
        if self.beta_schedule in (None, "linear", "cyclical"):
            return ()
        try:
            found = tuple(float(word) for word in str(self.beta_schedule).split(","))
        except ValueError:
            found = ()
        if not found or not all(is_finite(value) and value >= 0.0 for value in found):
            raise ConfigError(
                f"beta_schedule must be linear, cyclical, or numbers of at least 0 with commas between them, such as "
                f"0,0.1,0.5,1; got '{self.beta_schedule}'."
            )
        return found

    @property
    def size(self) -> tuple[int, int] | None:
        """`image_size` as (height, width); None if it is not given."""
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
        """How to read pictures, according to `alpha` and `levels`."""
        return Reading.of(self.alpha, self.levels)

    @property
    def own_paths(self) -> list[Path]:
        """The paths of the user's own images; empty for a named data set."""
        paths = (getattr(self, name) for name in PATHS)
        return [Path(path) for path in paths if path is not None]

    @property
    def fit(self) -> PriorFitConfig | None:
        """How the prior was fitted afterwards; None if it was not."""
        if self.prior_fit is None:
            return None
        try:
            return PriorFitConfig(**{name: self.prior_fit[name] for name in PriorFitConfig.__dataclass_fields__})
        except (TypeError, KeyError) as error:
            raise ConfigError(f"prior_fit does not describe how a prior was fitted: {error}.") from None

    @property
    def num_epochs(self) -> int:
        """The epochs of the run's history: those of its training, or of the fit of its prior."""
        return self.epochs if self.fit is None else self.fit.epochs

    def to_dict(self) -> dict[str, Any]:
        """The settings as JSON values; `from_dict` reads them back."""
        return asdict(self)

    def to_publish(self) -> dict[str, Any]:
        """The settings as a bundle publishes them: without the paths of the data and of the initial weights."""
        paths = {name: getattr(self, name) for name in (*PATHS, "init_from")}
        names = {name: None if path is None else _name_of(path) for name, path in paths.items()}
        fit = self.prior_fit and self.prior_fit | {"run": _name_of(str(self.prior_fit.get("run")))}
        return self.to_dict() | names | {"prior_fit": fit}

    def absolute(self) -> "TrainConfig":
        """The same config with absolute paths, because a run can be resumed from another folder."""
        paths = {name: getattr(self, name) for name in PATHS}
        found: dict[str, Any] = {name: str(Path(path).absolute()) for name, path in paths.items() if path is not None}
        return replace(self, **found)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "TrainConfig":
        """The config that `to_dict` described.

        Raises:
            ConfigError: a setting is unknown or outside its range.
        """
        if not isinstance(values, dict):
            raise ConfigError(f"not a kvae training config: expected an object, got {type(values).__name__}.")
        try:
            values = dict[str, Any](binarize="none") | values  # for configs from before kvae could binarise
            model = {"likelihood": NAMED_LIKELIHOOD} | values.get("model", {})  # once the default for all images
            return cls(**(values | {"model": ModelConfig(**model)}))
        except (TypeError, AttributeError) as error:
            raise ConfigError(f"not a kvae training config: {error}.") from None


def _name_of(path: str) -> str:
    """The default name of a user's own images: the file's or folder's name, in characters that a bundle allows."""
    stem = Path(path).resolve().name.partition(".")[0]
    return re.sub(r"[^\w +-]", "_", stem)[:100] or "images"


def from_settings(settings: dict[str, Any]) -> TrainConfig:
    """The config for flat settings, in which those of the model and of its training stand side by side.

    Args:
        settings: fields of TrainConfig and ModelConfig; missing ones get their defaults. `regularizer`, a key of
            `REGULARIZERS`, stands for the settings there.

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
                raise ConfigError(f"regularizer {name} means {key} {value}; got {key} {settings[key]} as well.")
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


def check_setting(name: str, value: Any) -> None:
    """Raise ConfigError if a setting of a model or of its training has a value that is wrong by itself."""
    for config in (ModelConfig, TrainConfig):
        if name in config.__dataclass_fields__:
            _check_value(config.__dataclass_fields__[name], value)


def _check(config: Any) -> None:
    for item in fields(config):
        _check_value(item, getattr(config, item.name))


def _check_value(item: Any, value: Any) -> None:
    rules = item.metadata
    if not rules or (value is None and item.default is None):
        return
    if rules["choices"]:
        if value not in rules["choices"]:
            raise ConfigError(f"{item.name} must be one of {', '.join(rules['choices'])}; got '{value}'.")
        return
    kind = kind_of(item)
    number = is_finite(value)
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
