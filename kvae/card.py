"""The model card: the README.md of a bundle, written from its manifest alone."""

from kvae import caveats
from kvae.manifest import Manifest


def render(manifest: Manifest, parity: dict[str, float], tolerance: float) -> str:
    """The card as Markdown, with the front matter that model hubs read.

    Args:
        manifest: the bundle's manifest.
        parity: for each output the largest difference between Keras and onnxruntime seen at export.
        tolerance: the largest allowed.
    """
    name = manifest.dataset["name"]
    height, width, channels = manifest.image_shape
    licence = manifest.dataset.get("licence", "other")
    picture = "![64 samples of the prior](preview.png)\n\n" if channels in (1, 3) else ""
    return f"""---
library_name: onnx
pipeline_tag: unconditional-image-generation
license: {licence}
datasets: [{name}]
tags: [variational-autoencoder, vae, onnx]
---

# A variational autoencoder of {name}

{picture}Made by kvae {manifest.kvae_version}. Images are {height} x {width} x {channels}.
The code z has {manifest.latent_dim} dimensions, the prior is N(0, I), the likelihood is {manifest.likelihood}.

Trained on {manifest.dataset["num_images"]:,} images. {_command(manifest)}

{_metrics(manifest)}

When this bundle was written, onnxruntime and Keras differed at most by {_parity(parity)} (allowed: {tolerance:.0e}).

## Use

```python
import numpy as np
import onnxruntime as ort

session = ort.InferenceSession("decoder.onnx")
z = np.random.default_rng(0).standard_normal((64, {manifest.latent_dim}), dtype=np.float32)
(images,) = session.run(["mean"], {{"z": z}})  # float32 (64, {height}, {width}, {channels}) in [0, 1]
```

| graph | tensor | shape |
|---|---|---|
{_tensors(manifest)}

`batch` is free; all numbers are float32, images lie in [0, 1]. The last axis of `likelihood_parameters` holds, one
after the other and each for all image channels: {", ".join(manifest.likelihood_parameters)}. `manifest.json` says the
same to programs.

## Limits

It was made to draw images like those it was trained on; a code far from the prior, or another kind of image, gets no
sensible answer. Licence of the images it was trained on: {licence}.
"""


def _command(manifest: Manifest) -> str:
    settings = dict(manifest.training)
    model = settings.pop("model", {})
    if "dataset" not in settings:  # not trained by the command
        return ""
    options = " ".join(f"--{key.replace('_', '-')} {value}" for key, value in (settings | model).items())
    return f"The command was:\n\n```sh\nkvae train {options}\n```"


def _metrics(manifest: Manifest) -> str:
    if not manifest.metrics:
        return "No metrics were measured."
    about = caveats.about_numbers(manifest.likelihood, manifest.binarize)
    loss = caveats.about_training(manifest.training)
    rows = "\n".join(
        f"| {name} | {metric['value']:.2f} | {metric['standard_error']:.2f} |"
        for name, metric in manifest.metrics.items()
    )
    notes = f"The ELBO and its terms are {about}.\n\n" + (f"Note: {loss}.\n\n" if loss else "")
    return f"{notes}| test images | nats per image | standard error |\n|---|---|---|\n{rows}"


def _parity(parity: dict[str, float]) -> str:
    return ", ".join(f"{error:.1e} in `{name}`" for name, error in parity.items())


def _tensors(manifest: Manifest) -> str:
    return "\n".join(
        f"| {graph}.onnx | {end[:-1]} `{tensor['name']}` | [{', '.join(map(str, tensor['shape']))}] |"
        for graph, ends in manifest.tensors.items()
        for end in ("inputs", "outputs")
        for tensor in ends[end]
    )
