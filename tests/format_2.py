"""Tiny bundles of format 2 made from nothing but numpy and onnx, and the same models in numpy: no code is shared with
kvae's own exporter, samplers and scores."""

import json
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from philox import specified_choice, specified_noise

from kvae.bundle.manifest import FILE_NAME, METADATA_KEY, Manifest, contract
from kvae.bundle.noise import cumulative

SHAPE = (8, 8, 1)
PIXELS = 64
DIM = 3
LABELS = ["left shoe", "right shoe", "ankle boot", "7"]
LABEL_WEIGHTS = [1, 0, 5, 2]
COMPONENT_WEIGHTS = [0.5, 0.25, 0.2, 0.05]
GROUPS = [1, 2]
MEMBERS = {
    "mixture": {"mixture": True},
    "conditional": {"labelled": True},
    "ladder": {"ladder": True},
    "all": {"mixture": True, "labelled": True, "ladder": True},
}
TYPES = {"float32": TensorProto.FLOAT, "int64": TensorProto.INT64}


@dataclass(frozen=True)
class Member:
    """A model in numpy, with random weights; `write` makes its bundle."""

    mixture: bool = False
    labelled: bool = False
    ladder: bool = False

    def weights(self):
        """All weights by name, float32; the parts that the model lacks are 0."""
        rng = np.random.default_rng(0)
        found = {
            "w1": rng.normal(size=(DIM, 16)),
            "of_label": 1.5 * rng.normal(size=(len(LABELS), 16)) * self.labelled,
            "w2": rng.normal(size=(16, PIXELS)),
            "mu": 2.0 * rng.normal(size=(4, DIM)),
            "sigma": rng.uniform(0.3, 0.9, (4, DIM)),
            "shift": rng.normal(size=(len(LABELS), DIM)) * self.labelled,
            "w3": 0.3 * rng.normal(size=(PIXELS, DIM)),
            "seen": rng.normal(size=(len(LABELS), DIM)) * self.labelled,
            "s": rng.uniform(0.2, 0.8, (1, DIM)),
            "lower": np.array([[0.0, 0.7, -0.4]]) * self.ladder,
            "share": np.log(COMPONENT_WEIGHTS)[None],
        }
        return {name: np.float32(value) for name, value in found.items()}

    def decode(self, z, label=None):
        """The expected images of codes, `(n, 8, 8, 1)`."""
        return 1 / (1 + np.exp(-self.logits(z, label)))

    def logits(self, z, label=None):
        w = self.weights()
        label = np.zeros(len(z), int) if label is None else label
        return (np.tanh(z @ w["w1"] + w["of_label"][label]) @ w["w2"]).reshape(-1, *SHAPE)

    def prior(self, noise, component=None, label=None):
        """The codes that noise becomes, `(n, 3)`."""
        w = self.weights()
        if not self.mixture:
            return noise
        label = np.zeros(len(noise), int) if label is None else label
        return w["mu"][component] + w["sigma"][component] * noise + w["shift"][label]

    def log_prior(self, z, label=None):
        """log p(z|y) in nats, `(n,)` float64."""
        w = {name: value.astype(np.float64) for name, value in self.weights().items()}
        if not self.mixture:
            return np.sum(-0.5 * z**2 - 0.5 * np.log(2 * np.pi), axis=1)
        label = np.zeros(len(z), int) if label is None else label
        units = ((z - w["shift"][label])[:, None] - w["mu"]) / w["sigma"]
        each = np.sum(-0.5 * units**2 - np.log(w["sigma"]) - 0.5 * np.log(2 * np.pi), axis=2) + w["share"]
        return np.log(np.sum(np.exp(each), axis=1))

    def encode(self, images, label=None, noise=None):
        """`loc` and `scale` of the posterior at the draws of this noise, by default none."""
        w = self.weights()
        label = np.zeros(len(images), int) if label is None else label
        loc = images.reshape(-1, PIXELS) @ w["w3"] + w["seen"][label]
        scale = np.broadcast_to(w["s"], loc.shape)
        first = loc[:, :1] + (0.0 if noise is None else scale[:, :1] * noise[:, :1])
        return loc + first @ w["lower"], scale

    def drawn(self, seed, start, n, temperature=1.0, label=None):
        """The codes of these images, `(n, 3)`, and their labels, None without labels; `temperature` may be one for each
        dimension, `label` one for all images."""
        manifest, images = self.manifest(), range(start, start + n)
        noise = np.float32([specified_noise(seed, image, DIM) for image in images]) * np.float32(temperature)

        def chosen(cumulative, stream):
            return cumulative and np.array([specified_choice(seed, image, cumulative, stream) for image in images])

        labels = chosen(manifest.label_weights, 2) if label is None else np.full(n, label)
        return self.prior(noise, chosen(manifest.components, 1), labels), labels

    def score(self, image, label=None, draws=10):
        """Rate, distortion and ELBO of an image, in nats, with the noise of seed 0."""
        noise = np.array([specified_noise(0, draw, DIM) for draw in range(draws)])
        label = None if label is None else np.full(draws, label)
        loc, scale = self.encode(np.repeat(image[None], draws, axis=0), label, noise if self.ladder else None)
        z = loc + scale * noise
        log_q = np.sum(-0.5 * noise**2 - np.log(scale) - 0.5 * np.log(2 * np.pi), axis=1)
        rate = np.sum((loc**2 + scale**2 - 1) / 2 - np.log(scale), axis=1)
        if self.mixture:
            rate = log_q - self.log_prior(z, label)
        logits = self.logits(z, label)
        log_p = np.sum(image * logits - np.logaddexp(0, logits), axis=(1, 2, 3))
        return {"rate": rate.mean(), "distortion": -log_p.mean(), "elbo": log_p.mean() - rate.mean()}

    def write(self, folder: Path) -> Path:
        """The model's bundle, in a new folder."""
        folder.mkdir(parents=True)
        manifest = self.manifest()
        for role, ends in manifest.tensors.items():
            data = self._graph(role, ends, manifest).SerializeToString()
            (folder / f"{role}.onnx").write_bytes(data)
            manifest.files[f"{role}.onnx"] = sha256(data).hexdigest()
        (folder / FILE_NAME).write_text(manifest.to_json())
        return folder

    def manifest(self, **fields) -> Manifest:
        tensors = contract(
            SHAPE, DIM, 1, labelled=self.labelled, hierarchical=self.ladder, own_prior=self.mixture,
            components=self.mixture,
        )  # fmt: skip
        settings = {
            "format_version": 2,
            "kvae_version": "0",
            "dataset": {"name": "tiny", "sha256": "0" * 64, "num_images": 4000},
            "image_shape": list(SHAPE),
            "latent_dim": DIM,
            "prior": "mixture" if self.mixture else "standard_normal",
            "components": cumulative(np.array(COMPONENT_WEIGHTS)) if self.mixture else None,
            "likelihood": "bernoulli",
            "likelihood_parameters": ["logits"],
            "labels": LABELS if self.labelled else None,
            "label_weights": cumulative(np.array(LABEL_WEIGHTS)) if self.labelled else None,
            "groups": GROUPS if self.ladder else None,
            "tensors": tensors,
            "opset": 17,
            "metrics": {},
            "training": {},
        }
        return Manifest(**settings | fields)

    def _graph(self, role, ends, manifest) -> onnx.ModelProto:
        """The graph of a role."""
        labelled = self.labelled
        names = {
            "decoder": [
                ("MatMul", "z w1", "a"), *([("Gather", "of_label label", "b"), ("Add", "a b", "a2")] * labelled),
                ("Tanh", "a2" if labelled else "a", "c"), ("MatMul", "c w2", "d"),
                ("Reshape", "d shape", "likelihood_parameters"), ("Sigmoid", "likelihood_parameters", "mean"),
            ],
            "encoder": [
                ("Reshape", "images flat", "a"), ("MatMul", "a w3", "b"),
                *([("Gather", "seen label", "c"), ("Add", "b c", "b2")] * labelled),
                ("Identity", "b2" if labelled else "b", "h"), ("Mul", "h zero", "none"), ("Add", "none s", "scale"),
                *([("Mul", "scale noise", "sn"), ("Add", "h sn", "z"), ("Slice", "z from to axis", "z0"),
                   ("MatMul", "z0 lower", "moved"), ("Add", "h moved", "loc")] if self.ladder
                  else [("Identity", "h", "loc")]),
            ],
            "prior": [
                ("Gather", "mu component", "m"), ("Gather", "sigma component", "sd"), ("Mul", "sd noise", "a"),
                ("Add", "m a", "b"), *([("Gather", "shift label", "c"), ("Add", "b c", "z")] if labelled
                                       else [("Identity", "b", "z")]),
            ],
            "prior_density": [
                *([("Gather", "shift label", "c"), ("Sub", "z c", "a")] if labelled else [("Identity", "z", "a")]),
                ("Unsqueeze", "a axis", "a3"), ("Sub", "a3 mu", "b"), ("Div", "b sigma", "u"), ("Mul", "u u", "uu"),
                ("Mul", "uu half", "h"), ("Sub", "logs h", "t"), ("ReduceSum", "t two", "sum"),
                ("Add", "sum share", "each"), ("ReduceLogSumExp", "each", "log_prob"),
            ],
        }[role]  # fmt: skip
        w = self.weights()
        w["logs"] = np.float32(-np.log(w["sigma"]) - 0.5 * np.log(2 * np.pi))
        w |= {"half": np.float32(0.5), "zero": np.float32(0), "shape": np.array([-1, *SHAPE]),
              "flat": np.array([-1, PIXELS]), "from": np.array([0]), "to": np.array([1]), "axis": np.array([1]),
              "two": np.array([2])}  # fmt: skip
        attributes = {"ReduceSum": {"keepdims": 0}, "ReduceLogSumExp": {"axes": [1], "keepdims": 0}}
        nodes = [
            helper.make_node(kind, inputs.split(), [output], **attributes.get(kind, {}))
            for kind, inputs, output in names
        ]
        used = {name for node in nodes for name in node.input}
        values = [numpy_helper.from_array(value, name) for name, value in w.items() if name in used]
        inputs, outputs = (
            [helper.make_tensor_value_info(end["name"], TYPES[end["dtype"]], end["shape"]) for end in ends[side]]
            for side in ("inputs", "outputs")
        )
        graph = helper.make_graph(nodes, role, inputs, outputs, values)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        helper.set_model_props(model, {METADATA_KEY: manifest.for_graph()})
        onnx.checker.check_model(model)
        return model


def member(name: str) -> Member:
    """The member of `MEMBERS` with this name."""
    return Member(**MEMBERS[name])


def changed(folder: Path, **fields) -> Path:
    """Replace fields of the manifest of a bundle; None stands for null."""
    path = folder / FILE_NAME
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))
    return folder
