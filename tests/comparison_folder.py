"""A folder like that of a comparison of entropy weights: three tiny models, and numbers that were made up."""

from dataclasses import replace

from tiny import DATASET, make_vae

from kvae.config import ModelConfig, TrainConfig
from kvae.export.bundles import export
from kvae.runs import files as run_files
from kvae.runs import layout

CONFIG = TrainConfig(
    model=ModelConfig(architecture="mlp", latent_dim=2, hidden_units=8), dataset="fashion_mnist_mini", epochs=3
)
WEIGHTS = (1.0, 0.0, 2.0)


def estimate(value):
    return {"value": value, "standard_error": 0.25}


def result(run, weight):
    """One entry of a comparison's results."""
    return {
        "run": f"elsewhere/{run.name}",  # the folder was moved since
        "loss": estimate(100.0 + weight),
        "against_reference": {} if weight == 1 else {"nll": estimate(1.5)},
        "evaluation": {
            "metrics": {"elbo": estimate(-120.0), "distortion": estimate(110.0), "rate": estimate(10.0),
                        "nll": estimate(115.0 + weight)},
            "nll_is_believable": weight > 0,
            "importance_samples": 7,
            "about": "log-probabilities of binarised images",
        },
    }  # fmt: skip


def write_run(run, weight, config=CONFIG, **settings):
    """A run of which only the settings and the bundle are there."""
    vae = make_vae((28, 28, 1), seed=int(weight), **({"latent_dim": 2} | settings))
    export(vae, run / layout.BUNDLE, dataset=DATASET)
    run_files.write_json(run / layout.CONFIG, replace(config, entropy_weight=weight).to_dict())


def write(folder):
    """The folder of a comparison."""
    for weight in WEIGHTS:
        write_run(folder / f"run{weight:g}", weight)
    results = [result(folder / f"run{weight:g}", weight) for weight in WEIGHTS]
    run_files.write_json(folder / layout.COMPARISON, {"verdict": "", "results": results})
    return folder
