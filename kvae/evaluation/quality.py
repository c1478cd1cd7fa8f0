"""The result of comparing a model's samples with real images: numbers with their errors, and the floor beside them."""

from dataclasses import asdict, dataclass
from typing import Any

from kvae.errors import KvaeError
from kvae.evaluation.estimates import Estimate
from kvae.evaluation.jackknife import Jackknifed


@dataclass(frozen=True)
class Quality:
    """The result of `kvae.evaluation.sample_quality`."""

    dataset: str
    features: str
    """What the features are, in words."""
    kind: str
    """Their kind; see `kvae.evaluation.extractors.Extractor`."""
    features_sha256: str | None
    """The hash of their network; None for the model's own encoder, whose numbers are not comparable between models."""
    num_features: int
    num_samples: int
    seed: int
    num_images: int
    """How many test images the samples were compared with."""
    images_sha256: str
    """The hash of these images, grey as they are."""
    num_training_images: int
    """Among how many training images the nearest was searched."""
    num_floor: int
    """How many of them took the samples' place in the floor."""
    is_of_bits: bool
    """Whether the model is one of binarised images, whose mean images were compared with grey ones all the same."""
    numbers: dict[str, Jackknifed]
    """`frechet_distance`, `kernel_distance`, `density` and `coverage` between samples and test images;
    `nearest_training`, the mean distance of a sample from its nearest training image; and `near_training`, the share of
    samples that are nearer to one than all but the nearest `kvae.evaluation.copying.NEAREST` of the test images."""
    floor_numbers: dict[str, Jackknifed]
    """The same of training images in place of the samples; but the last two of the test images."""
    classes: dict[str, tuple[Estimate, Estimate]] | None
    """For each class its share of the samples and of the test images, as the network sees them; None if it does not
    classify."""

    @property
    def metrics(self) -> dict[str, Estimate]:
        """`numbers`, each with its standard error."""
        return {name: number.estimate() for name, number in self.numbers.items()}

    @property
    def floor(self) -> dict[str, Estimate]:
        """`floor_numbers`, each with its standard error."""
        return {name: number.estimate() for name, number in self.floor_numbers.items()}

    @property
    def about(self) -> str:
        """What was compared, in words."""
        found = f"mean images of {self.num_samples:,} samples from the prior against {self.num_images:,} test images"
        return found + (", which are grey, although the model is one of bits" if self.is_of_bits else "")

    def to_dict(self) -> dict[str, Any]:
        """The result as JSON values."""
        classes = None
        if self.classes is not None:
            classes = {
                name: {"samples": asdict(samples), "images": asdict(images)}
                for name, (samples, images) in self.classes.items()
            }
        plain = (
            "dataset", "about", "features", "kind", "features_sha256", "num_features", "num_samples", "seed",
            "num_images", "images_sha256", "num_training_images", "num_floor",
        )  # fmt: skip
        return {name: getattr(self, name) for name in plain} | {
            "metrics": {name: asdict(estimate) for name, estimate in self.metrics.items()},
            "floor": {name: asdict(estimate) for name, estimate in self.floor.items()},
            "classes": classes,
        }


def difference(one: Quality, other: Quality) -> dict[str, Estimate]:
    """Each number of `one` minus that of `other`, paired: both were compared with the same test images.

    Raises:
        KvaeError: the features, the images, the number of samples or the seed are not the same.
    """
    for name in ("features_sha256", "images_sha256", "num_samples", "seed"):
        if getattr(one, name) != getattr(other, name) or getattr(one, name) is None:
            raise KvaeError(f"the samples cannot be compared: their {name} must be the same, and not None.")
    return {name: (number - other.numbers[name]).estimate() for name, number in one.numbers.items()}
