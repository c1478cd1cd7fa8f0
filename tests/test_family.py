"""Any prior goes with any architecture, with labels and without: trained, exported, proved, sampled and measured.

What kvae measures is measured again by forty lines of numpy over onnxruntime's sessions, which share no code with it.
"""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from click.testing import CliRunner

from kvae.cli.main import main
from kvae.compression import compress, decompress
from kvae.config import ARCHITECTURES, PRIORS, from_settings
from kvae.errors import KvaeError
from kvae.evaluation import evaluate
from kvae.export import TOLERANCE
from kvae.runtime import Bundle
from kvae.training import load_model, train

SAMPLED = {
    ("standard_normal", "conv", True), ("mixture", "mlp", False), ("vamp", "ladder", True), ("flow", "ladder", False),
    ("flow", "mlp", True), ("standard_normal", "ladder", False),
}  # fmt: skip
"""The cells of the grid that are slow, but not exhaustive: each member occurs in one."""
GRID = [
    pytest.param(
        prior, architecture, labelled,
        marks=pytest.mark.slow if (prior, architecture, labelled) in SAMPLED else pytest.mark.exhaustive,
        id=f"{prior}-{architecture}-{'labels' if labelled else 'none'}",
    )
    for prior in PRIORS for architecture in ARCHITECTURES if architecture != "gated_mlp" for labelled in (True, False)
]  # fmt: skip
DRAWS = 400


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> tuple[Path, np.ndarray, np.ndarray]:
    """An archive of 400 images of bits, 8 x 8, of three classes: in each, one third of the rows is mostly white."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 400)
    share = np.full((400, 8, 8, 1), 0.1)
    for label in range(3):
        share[labels == label, 3 * label : 3 * label + 2] = 0.9
    images = (rng.random(share.shape) < share).astype(np.uint8) * 255
    path = tmp_path_factory.mktemp("data") / "stripes.npz"
    np.savez(path, images=images, labels=np.array(["top", "middle", "bottom"])[labels])
    return path, images, labels


def second_estimate(folder: Path, images: np.ndarray, labels: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """The ELBO and log p(x|y) of images, `(n,)` each, from `DRAWS` draws of numpy's own noise."""
    graphs = {path.stem: onnxruntime.InferenceSession(str(path)) for path in folder.glob("*.onnx")}

    def run(name: str, **values: np.ndarray) -> list[np.ndarray]:
        wanted = {end.name for end in graphs[name].get_inputs()}
        return graphs[name].run(None, {key: value for key, value in values.items() if key in wanted})

    rng, log_weights, log_normal = np.random.default_rng(1), [], lambda x: -0.5 * (x**2 + np.log(2 * np.pi))
    latent_dim = graphs["decoder"].get_inputs()[0].shape[1]
    for _ in range(DRAWS):
        noise = rng.standard_normal((len(images), latent_dim), dtype=np.float32)
        loc, scale = run("encoder", images=images, label=labels, noise=noise)
        z = loc + scale * noise
        _, logits = run("decoder", z=z, label=labels)
        log_likelihood = (images * logits - np.logaddexp(0, logits)).sum(axis=(1, 2, 3))
        own = "prior_density" in graphs
        log_prior = run("prior_density", z=z, label=labels)[0] if own else log_normal(z).sum(axis=1)
        log_weights.append(log_likelihood + log_prior - (log_normal(noise) - np.log(scale)).sum(axis=1))
    weights = np.array(log_weights, np.float64)
    top = weights.max(axis=0)
    return weights.mean(axis=0), top + np.log(np.exp(weights - top).mean(axis=0))


@pytest.mark.parametrize(("prior", "architecture", "labelled"), GRID)
def test_every_member_trains_exports_samples_and_is_measured(prior, architecture, labelled, data, tmp_path):
    path, images, labels = data
    settings = {
        "data": str(path), "dataset": "stripes", "architecture": architecture, "prior": prior, "latent_dim": 2,
        "hidden_units": 8, "epochs": 2, "batch_size": 32, "jit": "off", "pictures_every": 0,
    }  # fmt: skip
    if labelled:
        settings["conditional"] = True
    if prior in ("mixture", "vamp"):
        settings["prior_components"] = 3
    run = train(from_settings(settings), tmp_path / "run")
    folder = run.exported.path
    assert max(run.exported.parity.values()) <= TOLERANCE
    needs_2 = prior != "standard_normal" or architecture == "ladder" or labelled
    assert run.exported.manifest.format_version == (2 if needs_2 else 1)

    bundle = Bundle.open(folder, device="cpu")
    few, many = bundle.sample(3, seed=5), bundle.sample(300, seed=5)
    np.testing.assert_allclose(few, many[:3], atol=1e-6)
    assert len(np.unique(many)) > 100 and many.min() >= 0 and many.max() <= 1
    vae, known = load_model(run.path), bundle.sample_labels(3, 5)
    np.testing.assert_allclose(few, vae.sample(3, 5, *(() if known is None else (known,))), atol=10 * TOLERANCE)
    if labelled:
        for number, name in enumerate(bundle.manifest.labels):
            np.testing.assert_array_equal(bundle.sample(2, label=number), bundle.sample(2, label=name))

    order = {name: number for number, name in enumerate(bundle.manifest.labels or ())}
    given = np.array([order[name] for name in np.array(["top", "middle", "bottom"])[labels[:40]]]) if labelled else None
    elbo, log_p = second_estimate(folder, (images[:40] / 255).astype(np.float32), given)
    measured = evaluate(bundle, images[:40], DRAWS, proposal="posterior", **({"labels": given} if labelled else {}))
    for found, expected in ((measured.per_image["elbo"], elbo), (measured.per_image["nll"], -log_p)):
        difference = found - expected  # both are Monte-Carlo estimates, with independent noise
        assert abs(difference.mean()) < 4 * difference.std(ddof=1) / np.sqrt(len(difference)) + 1e-3
    assert measured.metrics["nll"].value < -measured.metrics["elbo"].value + 0.01

    if prior == "flow":
        with pytest.raises(KvaeError, match="mixture"):
            compress(folder, images[:40], tmp_path / "a.kvz", label=given)
    else:
        compress(folder, images[:40], tmp_path / "a.kvz", label=given)
        decompress(tmp_path / "a.kvz", folder, tmp_path / "back.npy")
        np.testing.assert_array_equal(np.load(tmp_path / "back.npy"), images[:40])

    for arguments in (["verify", str(folder)], ["info", str(folder)]):
        done = CliRunner().invoke(main, arguments)
        assert done.exit_code == 0, done.output
