"""Linear Gaussian models of every kind, as bundles of graphs written by hand, with their log p(x) in closed form.

x = W z + b + 0.3 * noise in 12 pixels, where z has three dimensions. `write(folder, kind)` writes one of `KINDS`:

- "mixture": the prior is a mixture of three Gaussians.
- "affine": the prior is an affine map of the noise, with correlated dimensions: a flow.
- "labels": two classes, of which each has its own b; the prior is N(0, I).
- "label prior": two classes, of which each has its own Gaussian prior.
- "ladder": the posterior has two groups of 1 and 2 dimensions, and is correlated across them.
- "ladder labels": both.

Encoders are 1.2 times too wide, so that importance weights vary.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from kvae.bundle import noise
from kvae.bundle.manifest import METADATA_KEY, Manifest, contract, sha256

KINDS = ("mixture", "affine", "labels", "label prior", "ladder", "ladder labels")
SHAPE = [3, 4, 1]
SCALE = 0.3
LABELS = ["left shoe", "Ankle boot"]
LABEL_PROBS = np.array([0.25, 0.75])
PROBS = np.array([0.5, 0.3, 0.2])
GROUPS = [1, 2]
TYPES = {"float32": TensorProto.FLOAT, "int64": TensorProto.INT64}

rng = np.random.default_rng(5)
WEIGHTS = 0.25 * rng.normal(size=(12, 3))
OFFSETS = rng.uniform(0.3, 0.7, size=12) + 0.1 * rng.normal(size=(2, 12))
MEANS = 1.5 * rng.normal(size=(3, 3))
SCALES = rng.uniform(0.3, 0.9, size=(3, 3))
MAP = np.array([[0.8, 0.0, 0.0], [0.5, 0.6, 0.0], [-0.4, 0.3, 1.2]])
SHIFT = np.array([0.5, -1.0, 0.2])


def has_labels(kind):
    return "label" in kind


def components(kind, label=0):
    """The prior as a mixture: the weight, the mean and the covariance of each component."""
    if kind == "mixture":
        return [(p, m, np.diag(s**2)) for p, m, s in zip(PROBS, MEANS, SCALES, strict=True)]
    if kind == "affine":
        return [(1.0, SHIFT, MAP @ MAP.T)]
    if kind == "label prior":
        return [(1.0, MEANS[label], np.diag(SCALES[label] ** 2))]
    return [(1.0, np.zeros(3), np.eye(3))]


def offset(kind, label=0):
    return OFFSETS[label if has_labels(kind) else 0]


def log_normal(x, mean, covariance):
    _, log_determinant = np.linalg.slogdet(2 * np.pi * covariance)
    difference = x - mean
    return -0.5 * (log_determinant + np.sum(difference * np.linalg.solve(covariance, difference.T).T, axis=-1))


def log_p(kind, x, label=0):
    """log p(x|y) of images `(n, 12)`."""
    terms = [
        np.log(p)
        + log_normal(x, WEIGHTS @ mean + offset(kind, label), WEIGHTS @ cov @ WEIGHTS.T + SCALE**2 * np.eye(12))
        for p, mean, cov in components(kind, label)
    ]
    return np.logaddexp.reduce(terms, axis=0)


def log_p_marginal(kind, x):
    """log p(x) of images `(n, 12)` of a model with labels."""
    return np.logaddexp.reduce([np.log(p) + log_p(kind, x, label) for label, p in enumerate(LABEL_PROBS)], axis=0)


def posterior(kind, label=0):
    """The Gaussian posterior if the prior were one Gaussian: matrix and shift of its mean, and its covariance."""
    parts = components(kind, label)
    mean = sum(p * m for p, m, _ in parts)
    spread = sum(p * (c + np.outer(m - mean, m - mean)) for p, m, c in parts)
    covariance = np.linalg.inv(np.linalg.inv(spread) + WEIGHTS.T @ WEIGHTS / SCALE**2)
    gain = covariance @ WEIGHTS.T / SCALE**2
    return gain, mean - gain @ (offset(kind, label) + WEIGHTS @ mean), covariance


def manifest(kind, **changes):
    labelled, own = has_labels(kind), kind in ("mixture", "affine", "label prior")
    values = {
        "format_version": 2,
        "kvae_version": "0.2.0",
        "dataset": {"name": "gaussians", "sha256": "0" * 64, "num_images": 10},
        "image_shape": SHAPE,
        "latent_dim": 3,
        "prior": kind if own else "standard_normal",
        "components": noise.cumulative(PROBS) if kind == "mixture" else None,
        "likelihood": "normal",
        "likelihood_parameters": ["loc", "scale"],
        "labels": LABELS if labelled else None,
        "label_weights": noise.cumulative(LABEL_PROBS) if labelled else None,
        "groups": GROUPS if kind.startswith("ladder") else None,
        "opset": 17,
        "metrics": {},
        "training": {},
    }
    values |= changes
    tensors = contract(
        SHAPE, 3, 2, labelled=labelled, hierarchical=values["groups"] is not None, own_prior=own,
        components=values["components"] is not None,
    )  # fmt: skip
    return Manifest(**values, tensors=tensors)


class Graph:
    """Nodes in a row; every method adds one and returns the name of its output."""

    def __init__(self) -> None:
        self.nodes, self.constants = [], []

    def constant(self, value, dtype=np.float32):
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value, dtype), name))
        return name

    def __call__(self, operator, *inputs, out=None, **attributes):
        out = out or f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [out], **attributes))
        return out

    def model(self, known, role):
        ends = {
            side: [
                helper.make_tensor_value_info(t["name"], TYPES[t["dtype"]], t["shape"])
                for t in known.tensors[role][side]
            ]
            for side in ("inputs", "outputs")
        }
        graph = helper.make_graph(self.nodes, role, ends["inputs"], ends["outputs"], self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        model.metadata_props.add(key=METADATA_KEY, value=known.for_graph())
        return model


def of_label(g, kind, values):
    """The row of each image's label, or the only one."""
    return g("Gather", g.constant(values), "label", axis=0) if has_labels(kind) else g.constant(np.asarray(values)[:1])


def decoder(kind):
    g = Graph()
    flat = g("Add", g("MatMul", "z", g.constant(WEIGHTS.T)), of_label(g, kind, OFFSETS))
    loc = g("Reshape", flat, g.constant([-1, *SHAPE], np.int64))
    scale = g("Add", g("Mul", loc, g.constant(0.0)), g.constant(SCALE))
    g("Concat", loc, scale, out="likelihood_parameters", axis=3)
    g("Sigmoid", loc, out="mean")
    return g


def encoder(kind):
    g = Graph()
    flat = g("Reshape", "images", g.constant([-1, 12], np.int64))
    parts = [posterior(kind, label) for label in range(2 if has_labels(kind) else 1)]
    gain, covariance = parts[0][0], parts[0][2]
    if kind == "label prior":  # each label has its own gain
        gains = g("Gather", g.constant([p[0].T for p in parts]), "label", axis=0)
        rows = g("MatMul", g("Unsqueeze", flat, g.constant([1], np.int64)), gains)
        moved = g("Squeeze", rows, g.constant([1], np.int64))
    else:
        moved = g("MatMul", flat, g.constant(gain.T))
    mean = g("Add", moved, of_label(g, kind, [p[1] for p in parts]))
    if not kind.startswith("ladder"):
        g("Identity", mean, out="loc")
        scale = of_label(g, kind, [1.2 * np.sqrt(np.diag(p[2])) for p in parts])
        g("Add", g("Mul", mean, g.constant(0.0)), scale, out="scale")
        return g
    # Group 0 is dimension 0; group 1 follows its regression on it.
    slope = covariance[1:, :1] / covariance[0, 0]
    scale = 1.2 * np.sqrt(np.append(covariance[0, 0], np.diag(covariance[1:, 1:] - slope @ covariance[:1, 1:])))
    one = g.constant([0], np.int64), g.constant([1], np.int64), g.constant([1], np.int64)
    step = g("Mul", g("Slice", "noise", *one), g.constant(scale[0]))  # z_0 - its mean
    g("Add", mean, g("MatMul", step, g.constant([[0.0, *slope[:, 0]]])), out="loc")
    g("Add", g("Mul", mean, g.constant(0.0)), g.constant(scale[None]), out="scale")
    return g


def prior(kind):
    g = Graph()
    if kind == "affine":
        g("Add", g("MatMul", "noise", g.constant(MAP.T)), g.constant(SHIFT), out="z")
        return g
    which = "component" if kind == "mixture" else "label"
    loc, scale = (g("Gather", g.constant(values), which, axis=0) for values in (MEANS, SCALES))
    g("Add", loc, g("Mul", scale, "noise"), out="z")
    return g


def density(kind):
    g = Graph()
    axis = g.constant([-1], np.int64)
    if kind == "affine":
        back = g("MatMul", g("Sub", "z", g.constant(SHIFT)), g.constant(np.linalg.inv(MAP).T))
        constant = -np.log(np.abs(np.linalg.det(MAP))) - 1.5 * np.log(2 * np.pi)
        squares = g("ReduceSum", g("Mul", back, back), axis, keepdims=0)
        g("Add", g("Mul", squares, g.constant(-0.5)), g.constant(constant), out="log_prob")
        return g
    logs = np.log(PROBS if kind == "mixture" else np.ones(3)) - np.sum(np.log(SCALES), axis=1) - 1.5 * np.log(2 * np.pi)
    if kind == "mixture":
        z = g("Unsqueeze", "z", g.constant([1], np.int64))
        loc, scale, constant = g.constant(MEANS), g.constant(SCALES), g.constant(logs)
    else:
        z = "z"
        loc, scale, constant = (g("Gather", g.constant(v), "label", axis=0) for v in (MEANS, SCALES, logs))
    away = g("Div", g("Sub", z, loc), scale)
    squares = g("ReduceSum", g("Mul", away, away), axis, keepdims=0)
    out = None if kind == "mixture" else "log_prob"
    terms = g("Add", g("Mul", squares, g.constant(-0.5)), constant, out=out)
    if kind == "mixture":
        g("ReduceLogSumExp", terms, out="log_prob", axes=[-1], keepdims=0)
    return g


def write(folder: Path, kind: str, **changes) -> Path:
    """Write a bundle of one of `KINDS`, with changes of its manifest."""
    known = manifest(kind, **changes)
    folder.mkdir(parents=True)
    makers = {"decoder": decoder, "encoder": encoder, "prior": prior, "prior_density": density}
    for role in known.tensors:
        (folder / known.graph_file(role)).write_bytes(makers[role](kind).model(known, role).SerializeToString())
    files = {path.name: sha256(path) for path in sorted(folder.iterdir())}
    (folder / "manifest.json").write_text(replace(known, files=files).to_json(), encoding="utf-8")
    return folder


def images(kind, count, seed=0):
    """Images of the model as bytes, `(count, 3, 4, 1)`, and their labels, which are 0 in a model without."""
    generator = np.random.default_rng(seed)
    labels = generator.choice(2, count, p=LABEL_PROBS) if has_labels(kind) else np.zeros(count, np.int64)
    rows = []
    for label in labels:
        parts = components(kind, label)
        _, mean, covariance = parts[generator.choice(len(parts), p=[p for p, _, _ in parts])]
        z = generator.multivariate_normal(mean, covariance)
        rows.append(WEIGHTS @ z + offset(kind, label) + SCALE * generator.normal(size=12))
    pixels = np.rint(np.clip(rows, 0, 1) * 255).astype(np.uint8)
    return pixels.reshape(-1, *SHAPE), labels.astype(np.int64)
