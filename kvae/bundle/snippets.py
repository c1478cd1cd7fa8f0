"""The programs on a model card that draw images, in Python, in Node and in a browser."""

from kvae.bundle import onnxruntime_web
from kvae.bundle.manifest import Manifest

NORMAL = "Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random())"
CHOICE = "(place = Math.random() * 2 ** 53) => BigInt(components.findIndex((weight) => weight > place))"


def render(manifest: Manifest) -> str:
    """All three, as Markdown."""
    decoder = manifest.graph_file("decoder")
    any_noise = "Any standard-normal z will do." if not manifest.has_own_prior else "Any standard-normal noise will do."
    beside = f"`{decoder}`" if not manifest.has_own_prior else "the bundle's files"
    return (
        f"Python, with numpy and onnxruntime:\n\n{_python(manifest)}\n\n"
        f"Node, with onnxruntime-node:\n\n{_node(manifest)}\n\n"
        f"A browser, with onnxruntime-web, from a page in the same folder as {beside}:\n\n{_browser(manifest)}\n\n"
        f"{any_noise} `kvae sample`, and any program that follows the bundle's specification, draws the same image "
        f"for the same seed in every language; `kvae explore` opens a page to play with the model."
    )


def _python(manifest: Manifest) -> str:
    height, width, channels = manifest.image_shape
    dim, mixture = manifest.latent_dim, manifest.components is not None
    draw = f"np.random.default_rng(0).standard_normal((64, {dim}), dtype=np.float32)"
    given = _given(manifest, '"{0}": {0}')
    lines = [
        *(["import json"] if mixture else []),
        "import os",
        "",
        'os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # before the import; else it reports to its maker',
        "",
        "import numpy as np",
        "import onnxruntime as ort",
        "",
        f'session = ort.InferenceSession("{manifest.graph_file("decoder")}")',
    ]
    if manifest.labels is not None:
        lines.append(f"label = np.zeros(64, np.int64)  # the numbers of labels, from 0 to {len(manifest.labels) - 1}")
    if mixture:
        lines += [
            'with open("manifest.json", encoding="utf-8") as file:',
            '    weights = json.load(file)["components"]  # cumulative, up to 2^53',
            'component = np.searchsorted(weights, np.random.default_rng(1).integers(2**53, size=64), side="right")',
        ]
    if manifest.has_own_prior:
        prior = f'ort.InferenceSession("{manifest.graph_file("prior")}")'
        lines += [f"noise = {draw}", f'(z,) = {prior}.run(["z"], {{{", ".join(given["prior"])}}})']
    else:
        lines.append(f"z = {draw}")
    run = f'(images,) = session.run(["mean"], {{{", ".join(given["decoder"])}}})'
    lines.append(f"{run}  # float32 (64, {height}, {width}, {channels}) in [0, 1]")
    return "\n".join(["```python", *lines, "```"])


def _node(manifest: Manifest) -> str:
    height, width, channels = manifest.image_shape
    lines = [
        'process.env.ORT_DISABLE_TELEMETRY ||= "1"; // before the import; else it reports to its maker',
        'const ort = await import("onnxruntime-node");',
        *(['const { readFile } = await import("node:fs/promises");'] if manifest.components is not None else []),
        "",
        *_drawing(manifest, 64, 'JSON.parse(await readFile("manifest.json", "utf8"))'),
    ]
    lines[-1] += f" // mean.data: 64 images of {height} x {width} x {channels}"
    return "\n".join(["```js", *lines, "```"])


def _browser(manifest: Manifest) -> str:
    lines = [
        f'import * as ort from "{onnxruntime_web.CDN}ort.wasm.min.mjs";',
        "",
        "ort.env.wasm.numThreads = 1;",
        *_drawing(manifest, 1, 'await (await fetch("manifest.json")).json()'),
        "document.body.append(`a pixel in the middle: ${mean.data[mean.data.length >> 1]}`);",
    ]
    script = [f"  {line}" if line else "" for line in lines]
    return "\n".join(["```html", '<script type="module">', *script, "</script>", "```"])


def _drawing(manifest: Manifest, count: int, read: str) -> list[str]:
    """JavaScript that draws `count` images; `read` is an expression of the manifest."""
    dim, given = manifest.latent_dim, _given(manifest, "{0}")
    numbers = f"{count} * {dim}" if count > 1 else str(dim)

    def noise(name: str) -> str:
        drawn = f"Float32Array.from({{ length: {numbers} }}, normal)"
        return f'const {name} = new ort.Tensor("float32", {drawn}, [{count}, {dim}]);'

    lines = [
        f'const session = await ort.InferenceSession.create("{manifest.graph_file("decoder")}");',
        f"const normal = () => {NORMAL};",
    ]
    if manifest.labels is not None:
        lines.append(
            f'const label = new ort.Tensor("int64", new BigInt64Array({count}), [{count}]); '
            f"// the numbers of labels, from 0 to {len(manifest.labels) - 1}"
        )
    if manifest.components is not None:
        lines += [
            f"const {{ components }} = {read}; // cumulative weights",
            f"const choose = {CHOICE};",
            f'const component = new ort.Tensor("int64", BigInt64Array.from({{ length: {count} }}, choose), [{count}]);',
        ]
    if manifest.has_own_prior:
        lines += [
            f'const prior = await ort.InferenceSession.create("{manifest.graph_file("prior")}");',
            noise("noise"),
            f'const {{ z }} = await prior.run({{ {", ".join(given["prior"])} }}, ["z"]);',
        ]
    else:
        lines.append(noise("z"))
    return [*lines, f'const {{ mean }} = await session.run({{ {", ".join(given["decoder"])} }}, ["mean"]);']


def _given(manifest: Manifest, form: str) -> dict[str, list[str]]:
    """The inputs of each graph by its role, each name in this form."""
    return {
        role: [form.format(end["name"]) for end in ends["inputs"]]
        for role, ends in manifest.tensors.items()
        if role in ("decoder", "prior")
    }
