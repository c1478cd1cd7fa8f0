"""The fields of a manifest, one by one: what each must be, and what it is in bundles that lack it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

MAX_DRAWS = 10_000
"""Draws per image that a bundle may ask of who scores with it."""
POSTERIOR_LISTS = ("loc_mean", "loc_std", "scale_mean", "rate")
"""The lists of the field `posterior`, a number per latent dimension each."""


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_positive(value: Any) -> bool:
    return _is_int(value) and value > 0


def _is_text(value: Any) -> bool:
    """Text that can be printed and written: no NUL, no half of a surrogate pair."""
    return isinstance(value, str) and "\0" not in value and not any("\ud800" <= sign <= "\udfff" for sign in value)


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _is_list_of(value: Any, fits: Any) -> bool:
    return isinstance(value, list) and all(fits(item) for item in value)


def _is_dataset(value: Any) -> bool:
    return (
        _is_object(value)
        and _is_text(value.get("name"))
        and _is_text(value.get("sha256"))
        and _is_positive(value.get("num_images"))
        and _is_text(value.get("licence", ""))
    )


def _is_finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e300


def _is_metric(value: Any) -> bool:
    return _is_object(value) and _is_finite(value.get("value")) and _is_finite(value.get("standard_error"))


def _are_metrics(value: Any) -> bool:
    return _is_object(value) and all(map(_is_metric, value.values()))


def _is_parity(value: Any) -> bool:
    if not _is_object(value) or not _is_object(value.get("errors")):
        return False
    return _is_finite(value.get("tolerance")) and all(map(_is_finite, value["errors"].values()))


def _is_posterior(value: Any) -> bool:
    return (
        _is_object(value)
        and _is_positive(value.get("num_images"))
        and all(_is_list_of(value.get(name), _is_finite) for name in POSTERIOR_LISTS)
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
    return _is_list_of(value, _is_finite) and all(low <= high for low, high in zip(value, value[1:], strict=False))


def _is_conversion(value: Any) -> bool:
    if not _is_object(value):
        return False
    limits = value.get("limits")
    return (
        all(_is_positive(value.get(name)) for name in ("num_images", "size", "float32_size"))
        and _is_text(value.get("split"))
        and all(_is_finite(value.get(f"{name}_error")) for name in ("worst_pixel", "mean_pixel", "mean_code"))
        and _is_finite(value.get("speed"))
        and _is_metric(value.get("nll_lost"))
        and _is_object(limits)
        and all(_is_finite(limits.get(name)) for name in ("mean_pixel_error", "mean_code_error", "nll_lost"))
    )


def _are_hashes(value: Any) -> bool:
    return _is_object(value) and all(
        _is_text(digest) and _is_text(name) and Path(name).name == name and name not in ("", "..")
        for name, digest in value.items()
    )


def shorten(value: Any) -> str:
    """A value as a message shows it."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


CHECKS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "kvae_version": (_is_text, "text"),
    "dataset": (_is_dataset, "{name, sha256, num_images}"),
    "image_shape": (lambda v: _is_list_of(v, _is_positive) and len(v) == 3, "[height, width, channels]"),
    "latent_dim": (_is_positive, "a positive integer"),
    "prior": (lambda v: v == "standard_normal", "'standard_normal'"),
    "likelihood": (_is_text, "text"),
    "likelihood_parameters": (lambda v: _is_list_of(v, _is_text) and len(v) > 0, "a list of names"),
    "binarize": (lambda v: v in ("none", "dynamic"), "'none' or 'dynamic'"),
    "pixel_range": (lambda v: v == [0.0, 1.0], "[0.0, 1.0]"),
    "labels": (lambda v: v is None or _is_list_of(v, _is_text), "null or a list of names"),
    "tensors": (_is_object, "an object"),
    "opset": (_is_positive, "a positive integer"),
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
    "training": (_is_object, "an object"),
    "files": (_are_hashes, "file names with their sha256"),
}
LATER_FIELDS: dict[str, Any] = {
    "binarize": "none",
    "graph_format": "onnx",
    "parity": None,
    "posterior": None,
    "scoring": None,
    "conversion": None,
}
"""Fields that bundles of earlier kvaes lack, and what they mean there."""
