"""A second estimator of the ELBO and of log p(x|y): numpy over onnxruntime sessions, sharing no code with kvae."""

import json

import numpy as np
import onnxruntime


def estimate(folder, images, labels, num_draws, seed):
    """For each image the ELBO, log p(x|y), and the standard deviations that their standard errors come from.

    These are, for one draw, of the log weight, of the log likelihood, and of the weight over its mean.

    Args:
        folder: the bundle.
        images: `(n, height, width, channels)` in [0, 1].
        labels: `(n,)`; None for a model without labels.
        num_draws: draws from each posterior.
        seed: of numpy's own generator.
    """
    manifest = json.loads((folder / "manifest.json").read_text())
    run = {role: onnxruntime.InferenceSession(folder / f"{role}.onnx").run for role in manifest["tensors"]}
    rng, found = np.random.default_rng(seed), []
    for number, image in enumerate(images):
        batch = {"images": np.repeat(image[None], num_draws, axis=0).astype(np.float32)}
        label = {} if labels is None else {"label": np.full(num_draws, labels[number], np.int64)}
        noise = rng.normal(size=(num_draws, manifest["latent_dim"])).astype(np.float32)
        own = {"noise": noise} if manifest["groups"] else {}
        loc, scale = run["encoder"](["loc", "scale"], batch | label | own)
        z = loc + scale * noise
        log_q = np.sum(-0.5 * noise.astype(float) ** 2 - np.log(scale) - 0.5 * np.log(2 * np.pi), axis=1)
        if "prior_density" in run:
            log_prior = run["prior_density"](["log_prob"], {"z": z} | label)[0].astype(float)
        else:
            log_prior = np.sum(-0.5 * z.astype(float) ** 2 - 0.5 * np.log(2 * np.pi), axis=1)
        parameters = run["decoder"](["likelihood_parameters"], {"z": z} | label)[0].astype(float)
        mean, deviation = np.split(parameters, 2, axis=3)
        pixels = -0.5 * ((image - mean) / deviation) ** 2 - np.log(deviation) - 0.5 * np.log(2 * np.pi)
        log_likelihood = pixels.sum(axis=(1, 2, 3))
        log_weight = log_likelihood + log_prior - log_q
        weight = np.exp(log_weight - log_weight.max())
        log_p = log_weight.max() + np.log(weight.mean())
        found.append([log_weight.mean(), log_p, log_weight.std(), log_likelihood.std(), weight.std() / weight.mean()])
    return np.array(found).T
