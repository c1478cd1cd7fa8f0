"""The fields of a manifest: what each must be, and what it means if it is missing."""

import math
import re
from collections.abc import Callable
from typing import Any

from kvae.numbers import is_finite

MAX_VALUES = 2**22
"""Maximum number of values in an image (a colour image of 1182 x 1182), so that one image takes only megabytes."""
MAX_LATENT_DIM = 2**16
"""Largest length of z."""
MAX_PARAMETERS = 16
"""Maximum number of parameters of a likelihood, per pixel and channel."""
MAX_OPSET = 1000
"""Largest version of the operator set, far beyond any real one."""
MAX_TEXT = 10_000
"""Maximum number of characters in a text."""
MAX_ENTRIES = 1000
"""Maximum number of entries in an object, and names in a list."""
MAX_COMPONENTS = 10_000
"""Maximum number of components of a prior."""
MAX_LABEL = 200
"""Maximum number of characters in the name of a class or of a prior."""
WHOLE = 2**53
"""The last cumulative weight (`kvae.bundle.noise`): a float64, as JavaScript has, holds every integer up to it."""
WEIGHTS = f"a list of at most {MAX_COMPONENTS:,} integers that rise from 0 or more to 2^53"
STANDARD_NORMAL = "standard_normal"
"""The name of the prior N(0, I)."""
MAX_DEPTH = 20
"""Maximum depth of nested lists and objects."""
MAX_DRAWS = 10_000
"""Maximum number of draws per image that a bundle may require for scoring."""
POSTERIOR_LISTS = ("loc_mean", "loc_std", "scale_mean", "rate")
"""The lists in the field `posterior`, each with one number per latent dimension."""
NOT_PRINTED = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
"""Control characters, except tab and newline, and halves of surrogate pairs."""
SHA256 = re.compile("[0-9a-f]{64}")


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**64


def _is_positive(value: Any, limit: int = 2**63) -> bool:
    return _is_int(value) and 0 < value <= limit


def _is_text(value: Any) -> bool:
    """Text that can be printed and written: no half of a surrogate pair, no terminal control characters."""
    return isinstance(value, str) and len(value) <= MAX_TEXT and not NOT_PRINTED.search(value)


def _is_name(value: Any) -> bool:
    """The name of a file in the bundle, which cannot point anywhere else."""
    return _is_text(value) and 0 < len(value) <= 255 and value not in (".", "..") and not set(value) & set("/\\:\n")


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _is_list_of(value: Any, fits: Any) -> bool:
    return isinstance(value, list) and all(fits(item) for item in value)


def _are_names(value: Any, limit: int = MAX_ENTRIES) -> bool:
    return _is_list_of(value, _is_text) and len(value) <= limit


def _is_label(value: Any) -> bool:
    return _is_text(value) and 0 < len(value) <= MAX_LABEL and "\n" not in value


def _are_labels(value: Any) -> bool:
    return _is_list_of(value, _is_label) and 0 < len(value) <= MAX_ENTRIES and len(set(value)) == len(value)


def _are_weights(value: Any) -> bool:
    """Cumulative weights, as `kvae.bundle.noise.cumulative` makes them."""
    return (
        _is_list_of(value, lambda item: _is_int(item) and 0 <= item <= WHOLE)
        and 0 < len(value) <= MAX_COMPONENTS
        and value[-1] == WHOLE
        and all(low <= high for low, high in zip(value, value[1:], strict=False))
    )


def _is_table(value: Any, fits: Any) -> bool:
    """An object with a limited number of entries and printable names."""
    return _is_object(value) and len(value) <= MAX_ENTRIES and all(_is_text(k) and fits(v) for k, v in value.items())


def _is_image_shape(value: Any) -> bool:
    return _is_list_of(value, _is_positive) and len(value) == 3 and math.prod(value) <= MAX_VALUES


def _is_dataset(value: Any) -> bool:
    return (
        _is_object(value)
        and _is_text(value.get("name"))
        and _is_text(value.get("sha256"))
        and _is_positive(value.get("num_images"))
        and _is_text(value.get("licence", ""))
    )


def _is_setting(value: Any) -> bool:
    return value is None or isinstance(value, bool) or is_finite(value) or _is_text(value)


def _are_settings(value: Any) -> bool:
    """Settings, some of which may be grouped under a name, like those of the model."""
    return _is_table(
        value, lambda item: _is_setting(item) or _is_list_of(item, _is_setting) or _is_table(item, _is_setting)
    ) and _is_object(value.get("model", {}))


def _is_metric(value: Any) -> bool:
    return _is_object(value) and is_finite(value.get("value")) and is_finite(value.get("standard_error"))


def _are_metrics(value: Any) -> bool:
    return _is_table(value, _is_metric)


def _is_parity(value: Any) -> bool:
    return _is_object(value) and is_finite(value.get("tolerance")) and _is_table(value.get("errors"), is_finite)


def _is_posterior(value: Any) -> bool:
    return (
        _is_object(value)
        and _is_positive(value.get("num_images"))
        and all(_is_list_of(value.get(name), is_finite) for name in POSTERIOR_LISTS)
    )


def _is_scoring(value: Any) -> bool:
    if not _is_object(value):
        return False
    percents, elbo = value.get("percents"), value.get("elbo")
    return (
        _is_positive(value.get("num_images"))
        and _is_positive(value.get("draws"))
        and value["draws"] <= MAX_DRAWS
        and _is_int(value.get("seed"))
        and 0 <= value["seed"] < 2**64
        and _is_ascending(percents)
        and _is_ascending(elbo)
        and len(percents) == len(elbo) > 1
        and (percents[0], percents[-1]) == (0, 100)
    )


def _is_ascending(value: Any) -> bool:
    return _is_list_of(value, is_finite) and all(low <= high for low, high in zip(value, value[1:], strict=False))


def _is_conversion(value: Any) -> bool:
    if not _is_object(value):
        return False
    limits = value.get("limits")
    return (
        all(_is_positive(value.get(name)) for name in ("num_images", "size", "float32_size"))
        and _is_text(value.get("split"))
        and all(is_finite(value.get(f"{name}_error")) for name in ("worst_pixel", "mean_pixel", "mean_code"))
        and is_finite(value.get("speed"))
        and _is_metric(value.get("nll_lost"))
        and _is_object(limits)
        and all(is_finite(limits.get(name)) for name in ("mean_pixel_error", "mean_code_error", "nll_lost"))
    )


def _are_hashes(value: Any) -> bool:
    return _is_table(value, lambda digest: isinstance(digest, str) and SHA256.fullmatch(digest)) and all(
        map(_is_name, value)
    )


def depth(value: Any) -> int:
    """How deeply lists and objects are nested, counted up to `MAX_DEPTH` + 1."""
    level = [value]
    for number in range(MAX_DEPTH + 1):
        containers = [item for item in level if isinstance(item, (list, dict))]
        if not containers:
            return number
        level = [inner for item in containers for inner in (item.values() if isinstance(item, dict) else item)]
    return MAX_DEPTH + 1


def shorten(value: Any) -> str:
    """A value, shortened for a message."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


CHECKS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "kvae_version": (_is_text, "text"),
    "dataset": (_is_dataset, "{name, sha256, num_images}"),
    "image_shape": (_is_image_shape, f"[height, width, channels], of at most {MAX_VALUES:,} numbers in all"),
    "latent_dim": (lambda v: _is_positive(v, MAX_LATENT_DIM), f"a positive integer, at most {MAX_LATENT_DIM:,}"),
    "prior": (_is_label, "a name"),
    "components": (lambda v: v is None or _are_weights(v), f"null or {WEIGHTS}"),
    "likelihood": (_is_text, "text"),
    "likelihood_parameters": (
        lambda v: _are_names(v, MAX_PARAMETERS) and len(v) > 0,
        f"a list of 1 to {MAX_PARAMETERS} names",
    ),
    "binarize": (lambda v: v in ("none", "dynamic"), "'none' or 'dynamic'"),
    "pixel_range": (lambda v: _is_list_of(v, is_finite) and v == [0.0, 1.0], "[0.0, 1.0]"),
    "labels": (lambda v: v is None or _are_labels(v), f"null or a list of 1 to {MAX_ENTRIES:,} different names"),
    "label_weights": (lambda v: v is None or _are_weights(v), f"null or {WEIGHTS}"),
    "groups": (
        lambda v: v is None or (_is_list_of(v, _is_positive) and 0 < len(v) <= MAX_ENTRIES),
        f"null or a list of 1 to {MAX_ENTRIES:,} positive integers",
    ),
    "tensors": (_is_object, "an object"),
    "opset": (lambda v: _is_positive(v, MAX_OPSET), f"a positive integer, at most {MAX_OPSET:,}"),
    "graph_format": (lambda v: v in ("onnx", "ort"), "'onnx' or 'ort'"),
    "precision": (_is_text, "text"),
    "metrics": (_are_metrics, "{value, standard_error} under each name, finite numbers"),
    "parity": (lambda v: v is None or _is_parity(v), "null or {tolerance, errors}"),
    "posterior": (lambda v: v is None or _is_posterior(v), f"null or {{num_images, {', '.join(POSTERIOR_LISTS)}}}"),
    "scoring": (
        lambda v: v is None or _is_scoring(v),
        "null or {num_images, draws, seed, percents, elbo}, both lists ascending",
    ),
    "conversion": (
        lambda v: v is None or _is_conversion(v),
        "null or {num_images, split, worst_pixel_error, mean_pixel_error, mean_code_error, nll_lost, size, "
        "float32_size, speed, limits}",
    ),
    "training": (_are_settings, "settings: texts, finite numbers, true, false or null by name"),
    "files": (_are_hashes, "file names with their sha256"),
}
SINCE_2 = ("components", "label_weights", "groups")
"""Fields that format 1 does not have."""
LATER_FIELDS: dict[str, Any] = {
    "binarize": "none",
    "graph_format": "onnx",
    "parity": None,
    "posterior": None,
    "scoring": None,
    "conversion": None,
} | dict.fromkeys(SINCE_2)
"""Fields that bundles from earlier versions lack, and the values they then have."""
