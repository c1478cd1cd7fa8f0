"""Reads the model configs that earlier versions of kvae wrote into `.keras` files."""

from typing import Any

OBJECTIVE = {"beta": "beta", "entropy_weight": "entropy_weight", "kl_warmup_steps": "warmup_steps"}
"""The arguments that a VAE took before it had an objective, and their names in the objective."""


def older_config(config: dict[str, Any]) -> dict[str, Any]:
    """The config of a VAE as `VAE.get_config` writes it now; a config already in that form is unchanged."""
    config = dict(config)
    old = {OBJECTIVE[name]: config.pop(name) for name in OBJECTIVE if name in config}
    if "objective" not in config:
        config["objective"] = _serialized("ELBO", old)
    if "distribution" in config["prior"]:
        config["prior"] = _prior(config["prior"])
    return config


def _prior(distribution: dict[str, Any]) -> dict[str, Any]:
    """A prior that was saved as a TFP distribution: N(0, I) becomes a `StandardNormal`, any other a `Fixed` prior."""
    arguments = distribution["arguments"]
    loc, scale = arguments.get("loc"), arguments.get("scale_diag")
    is_diagonal = distribution["distribution"] == "MultivariateNormalDiag" and bool(loc) and bool(scale)
    if is_diagonal and not any(loc) and all(value == 1.0 for value in scale):
        return _serialized("StandardNormal", {"latent_dim": len(loc)})
    return _serialized("Fixed", {"distribution": distribution})


def _serialized(name: str, config: dict[str, Any]) -> dict[str, Any]:
    return {"module": None, "class_name": name, "registered_name": f"kvae>{name}", "config": config}
