"""The model card: the README.md of a bundle, written from its manifest alone."""

from collections.abc import Collection
from dataclasses import fields
from typing import Any

from kvae import settings
from kvae.bundle import caveats, snippets
from kvae.bundle.folder import PREVIEW, RECONSTRUCTIONS
from kvae.bundle.manifest import USED_RATE, Manifest
from kvae.config import TrainConfig
from kvae.errors import ConfigError
from kvae.files.escapes import markdown, shell, yaml

HUB_IDS = {"fashion_mnist": "zalando-datasets/fashion_mnist", "mnist": "ylecun/mnist"}
"""The names of data sets on model hubs; other data sets keep their own name."""
MAX_LABELS = 50
"""Labels that a card names."""
METRICS = ("elbo", "distortion", "rate", "nll", "active_units")
"""The names of kvae's own metrics."""


def render(manifest: Manifest, pictures: Collection[str] = ()) -> str:
    """The card as Markdown, with the front matter that model hubs read.

    Args:
        manifest: the bundle's manifest.
        pictures: the names of the bundle's pictures, of `preview.png` and `reconstructions.png`.
    """
    name = markdown(manifest.dataset["name"])
    height, width, channels = manifest.image_shape
    parts = [
        _front_matter(manifest),
        f"# A variational autoencoder of {name}",
        "![Samples of the prior](preview.png)" if PREVIEW in pictures else "",
        f"Decodes a code z of {manifest.latent_dim} numbers, drawn from {_prior(manifest)}, to an image of {height} x "
        f"{width} x {channels}, and encodes such an image to the posterior of its code. The likelihood is "
        f"{markdown(manifest.likelihood)}. Made by kvae {markdown(manifest.kvae_version)}; "
        f"{markdown(manifest.precision)} weights.",
        _labels(manifest),
        _groups(manifest),
        "Images not seen in training, each above its reconstruction:\n\n![Reconstructions](reconstructions.png)"
        if RECONSTRUCTIONS in pictures
        else "",
        f"## Training\n\n{manifest.dataset['num_images']:,} images of {name}. {_command(manifest)}".rstrip(),
        f"## Measured\n\n{_metrics(manifest)}",
        _latent_dimensions(manifest),
        _conversion(manifest),
        _parity(manifest),
        f"## Use\n\n{snippets.render(manifest)}",
        f"## Tensors\n\n{_tensors(manifest)}",
        _intended_use(manifest),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _prior(manifest: Manifest) -> str:
    if not manifest.has_own_prior:
        return "N(0, I)"
    components = "" if manifest.components is None else f" with {len(manifest.components):,} components"
    return f"the prior {markdown(manifest.prior)}{components}, which is two graphs of its own"


def _labels(manifest: Manifest) -> str:
    if manifest.labels is None:
        return ""
    shown = ", ".join(map(markdown, manifest.labels[:MAX_LABELS]))
    more = f" and {len(manifest.labels) - MAX_LABELS:,} more" if len(manifest.labels) > MAX_LABELS else ""
    return f"It is conditional: its graphs take the label of each image, a number, from 0 on, for {shown}{more}."


def _groups(manifest: Manifest) -> str:
    if manifest.groups is None:
        return ""
    sizes = ", ".join(map(str, manifest.groups))
    return (
        f"The latent dimensions are in {len(manifest.groups)} groups of {sizes}. The posterior of each group depends "
        f"on the draws of those before it, so the encoder takes the noise of the draw."
    )


def _front_matter(manifest: Manifest) -> str:
    name = manifest.dataset["name"]
    hub_id = yaml(HUB_IDS.get(name, name))
    lines = [
        "library_name: onnx",
        "pipeline_tag: unconditional-image-generation",
        f"license: {yaml(manifest.dataset.get('licence', 'other'))}",
        f"datasets: [{hub_id}]",
        "tags: [variational-autoencoder, vae, onnx, onnxruntime, anomaly-detection]",
    ]
    if manifest.metrics:
        lines += [
            "model-index:",
            f"- name: {yaml(f'kvae-{name}')}",
            "  results:",
            "  - task: {type: unconditional-image-generation}",
            f"    dataset: {{type: {hub_id}, name: {yaml(name)}, split: test}}",
            "    metrics:",
        ]
        lines += [
            f"    - {{type: {_yaml_name(metric)}, value: {values['value']:.4f}, "
            f"name: {_yaml_name(metric, _unit(metric, ' ({})'))}}}"
            for metric, values in manifest.metrics.items()
        ]
    return "\n".join(["---", *lines, "---"])


def _yaml_name(metric: str, unit: str = "") -> str:
    """A metric's name with its unit; kvae's own names need no quotes."""
    return metric + unit if metric in METRICS else yaml(metric + unit)


def _unit(metric: str, form: str) -> str:
    return "" if metric == "active_units" else form.format("nats per image")


def _command(manifest: Manifest) -> str:
    if "dataset" not in manifest.training:  # not trained by `kvae train`
        return ""
    known = {field.name for field in fields(TrainConfig)}
    try:
        config = TrainConfig.from_dict({name: value for name, value in manifest.training.items() if name in known})
    except ConfigError:  # trained by another version of kvae, with other settings
        return ""
    return f"The command was:\n\n```sh\n{shell(settings.command(config))}\n```"


def _metrics(manifest: Manifest) -> str:
    if not manifest.metrics:
        return "No metrics were measured."
    about = caveats.about_numbers(manifest.likelihood, manifest.binarize, manifest.labels is not None)
    loss = caveats.about_training(manifest.training)
    rows = "\n".join(
        f"| {markdown(name)} | {metric['value']:.2f} | {metric['standard_error']:.2f} "
        f"| {_unit(name, '{}') or 'dimensions'} |"
        for name, metric in manifest.metrics.items()
    )
    notes = f"The ELBO and its terms are {markdown(about)}.\n\n" + (f"Note: {markdown(loss)}.\n\n" if loss else "")
    return f"{notes}| test images | value | standard error | unit |\n|---|---|---|---|\n{rows}"


def _latent_dimensions(manifest: Manifest) -> str:
    used = manifest.used_dimensions()
    if used is None or manifest.posterior is None:
        return ""
    names = ", ".join(f"z{index} {manifest.posterior['rate'][index]:.2f}" for index in used) or "none"
    return (
        f"{len(used)} of the {manifest.latent_dim} latent dimensions are in use, meaning that they carry at least "
        f"{USED_RATE} nats per image. Nats per image of each, over {manifest.posterior['num_images']:,} training "
        f"images: {names}."
    )


def _conversion(manifest: Manifest) -> str:
    found = manifest.conversion
    if found is None:
        return ""
    lost, precision = found["nll_lost"], markdown(manifest.precision)
    return (
        f"These are {precision} graphs, converted from float32 graphs; the metrics above are those of the "
        f"float32 graphs. Comparison on {found['num_images']:,} {markdown(found['split'])} images:\n\n"
        f"| | {precision} | limit |\n|---|---|---|\n"
        f"| mean pixel error | {found['mean_pixel_error']:.1e} | {found['limits']['mean_pixel_error']:.1e} |\n"
        f"| worst pixel error | {found['worst_pixel_error']:.1e} | |\n"
        f"| mean error of codes | {found['mean_code_error']:.1e} | {found['limits']['mean_code_error']:.1e} |\n"
        f"| NLL lost, nats per image | {lost['value']:.4f} ± {lost['standard_error']:.4f} | "
        f"{found['limits']['nll_lost']:g} |\n"
        f"| size of the graphs, bytes | {found['size']:,} (float32: {found['float32_size']:,}) | |\n"
        f"| images decoded per second, relative to float32 | {found['speed']:.2f} | |"
    )


def _parity(manifest: Manifest) -> str:
    if manifest.parity is None:
        return ""
    outputs = {end["name"] for ends in manifest.tensors.values() for end in ends["outputs"]}
    errors = ", ".join(
        f"{error:.1e} in {f'`{name}`' if name in outputs else markdown(name)}"
        for name, error in manifest.parity["errors"].items()
    )
    graphs = "the graphs" if manifest.precision == "float32" else "the float32 graphs"
    return (
        f"When {graphs} were written, onnxruntime and Keras differed by at most {errors} (allowed: "
        f"{manifest.parity['tolerance']:.0e}). `reference.npz` holds some of Keras's outputs, for checking other "
        f"runtimes."
    )


def _tensors(manifest: Manifest) -> str:
    rows = "\n".join(
        f"| {manifest.graph_file(graph)} | {end[:-1]} `{tensor['name']}` | {_shape(tensor)} |"
        for graph, ends in manifest.tensors.items()
        for end in ("inputs", "outputs")
        for tensor in ends[end]
    )
    floats = "all tensors not said to be int64 are" if "int64" in rows else "all tensors are"
    bits = " The encoder expects pixels of 0 and 1." if manifest.is_of_bits else ""
    return (
        f"| graph | tensor | shape |\n|---|---|---|\n{rows}\n\n"
        f"`batch` can be any size; {floats} float32, images are in [0, 1], rows from the top, channels "
        f"last.{bits} The last axis of `likelihood_parameters` holds, one after the other and each for all image "
        f"channels: {', '.join(map(markdown, manifest.likelihood_parameters))}. Programs find the same in "
        f"`manifest.json`."
    )


def _shape(tensor: dict[str, Any]) -> str:
    shape = f"[{', '.join(map(str, tensor['shape']))}]"
    return shape if tensor["dtype"] == "float32" else f"{tensor['dtype']} {shape}"


def _intended_use(manifest: Manifest) -> str:
    licence = markdown(manifest.dataset.get("licence", "not recorded"))
    return (
        "## Intended use and limits\n\n"
        "Use it to draw images like those it was trained on, to compress such images to codes, and to detect, by their "
        "ELBO, images that are unlike them. A code far from the prior does not give a sensible image, and a different "
        "kind of image does not get a sensible code: it is reconstructed as the nearest thing the model knows. "
        "Generated images are blends of the training images, with their biases and gaps; none is a record of anything "
        "real. A low ELBO says that an image is unusual, not why.\n\n"
        f"Licence of the images it was trained on: {licence}."
    )
