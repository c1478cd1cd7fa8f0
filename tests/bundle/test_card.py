"""The model card: front matter for model hubs, the facts of the manifest, and code that runs."""

import json
import re
import shlex
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from browser import browser_fixture, served  # noqa: F401
from family import MEMBERS, PROBS
from programs import javascript, node_modules
from tiny import DATASET, make_vae, random_images

from kvae import recipes
from kvae.bundle import card, locate, onnxruntime_web
from kvae.bundle.manifest import Manifest
from kvae.cli.config_options import given
from kvae.cli.main import main
from kvae.config import TrainConfig
from kvae.export.bundles import export
from kvae.runs.files import read_config
from kvae.settings import flat

EXAMPLES = Path(__file__).parents[2] / "examples"
METRICS = {"elbo": {"value": -230.125, "standard_error": 0.75}, "active_units": {"value": 3, "standard_error": 0.0}}


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    images = np.rint(random_images(40) * 255).astype(np.uint8)
    dataset = DATASET | {"name": "fashion_mnist", "licence": "mit"}
    out = tmp_path_factory.mktemp("card") / "b"
    return export(make_vae(), out, dataset=dataset, metrics=METRICS, train_images=images, test_images=images)


@pytest.fixture(scope="module")
def text(exported):
    return (exported.path / "README.md").read_text()


def front_matter(text):
    start, matter, _ = text.split("---\n", 2)
    assert start == ""
    return yaml.safe_load(matter)


def test_the_front_matter_follows_the_convention_of_model_hubs(text):
    found = front_matter(text)
    assert (found["license"], found["library_name"]) == ("mit", "onnx")
    assert found["pipeline_tag"] == "unconditional-image-generation"
    assert found["datasets"] == ["zalando-datasets/fashion_mnist"]
    (model,) = found["model-index"]
    (result,) = model["results"]
    assert result["task"] == {"type": "unconditional-image-generation"}
    assert result["dataset"] == {"type": "zalando-datasets/fashion_mnist", "name": "fashion_mnist", "split": "test"}
    assert result["metrics"] == [
        {"type": "elbo", "value": -230.125, "name": "elbo (nats per image)"},
        {"type": "active_units", "value": 3.0, "name": "active_units"},
    ]


def test_the_front_matter_of_a_model_without_metrics_or_licence(bundle_path):
    found = front_matter((bundle_path / "README.md").read_text())
    assert found["license"] == "other"
    assert "model-index" not in found


def test_a_name_with_characters_that_are_special_in_yaml(exported):
    manifest = replace(exported.manifest, dataset=DATASET | {"name": 'no: [a, "b"]', "licence": "#1"})
    found = front_matter(card.render(manifest))
    assert (found["datasets"], found["license"]) == (['no: [a, "b"]'], "#1")
    assert found["model-index"][0]["results"][0]["dataset"]["name"] == 'no: [a, "b"]'


def test_the_card_says_what_the_manifest_says(exported, text):
    for fact in (
        "![Samples of the prior](preview.png)", "![Reconstructions](reconstructions.png)", "fashion_mnist", "bernoulli",
        "8 x 8 x 1", "4,000 images", "| elbo | -230.12 | 0.75 | nats per image |", "| active_units | 3.00 | 0.00 |",
        "(64, 8, 8, 1)", "| decoder.onnx | output `likelihood_parameters` | [batch, 8, 8, 1] |", "mit.",
        "Intended use and limits", "over 40 training images", "`reference.npz`",
    ):  # fmt: skip
        assert fact in text, fact
    rate = exported.manifest.posterior["rate"]
    used = sorted((index for index in range(3) if rate[index] >= 0.01), key=lambda index: -rate[index])
    assert f"{len(used)} of the 3 latent dimensions are in use" in text
    assert ", ".join(f"z{index} {rate[index]:.2f}" for index in used) in text
    for error in exported.parity.values():
        assert f"{error:.1e}" in text


def test_dimensions_that_are_not_in_use_are_not_listed(exported):
    rate = [0.009, 1.5, 0.0]
    text = card.render(replace(exported.manifest, posterior=exported.manifest.posterior | {"rate": rate}))
    assert "1 of the 3 latent dimensions are in use" in text
    assert "training images: z1 1.50." in text


def test_missing_pictures_are_not_shown(exported):
    assert "![" not in card.render(exported.manifest)


def test_another_precision_is_described_with_its_cost(exported):
    conversion = {
        "num_images": 1000, "split": "test",
        "worst_pixel_error": 0.25, "mean_pixel_error": 0.00123, "mean_code_error": 0.02,
        "nll_lost": {"value": 0.456, "standard_error": 0.012}, "size": 1000, "float32_size": 4000, "speed": 1.5,
        
        "limits": {"mean_pixel_error": 0.01, "mean_code_error": 0.1, "nll_lost": 1.0},
    }  # fmt: skip
    text = card.render(replace(exported.manifest, precision="int8", conversion=conversion))
    for fact in (
        "These are int8 graphs", "| mean pixel error | 1.2e-03 | 1.0e-02 |", 
        "| mean error of codes | 2.0e-02 | 1.0e-01 |", "0.4560 ± 0.0120 | 1 |",
        "1,000 (float32: 4,000)", "| 1.50 |", "When the float32 graphs were written",
    ):  # fmt: skip
        assert fact in text, fact


def test_the_card_names_the_files_of_graphs_in_onnxruntime_s_own_format(exported):
    text = card.render(replace(exported.manifest, graph_format="ort"))
    assert "decoder.onnx" not in text
    assert 'InferenceSession("decoder.ort")' in text


def test_the_python_on_the_card_runs(exported, text, monkeypatch):
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    monkeypatch.chdir(exported.path)
    found = {}
    exec(compile(code, "README.md", "exec"), found)
    assert found["images"].shape == (64, 8, 8, 1)
    assert 0 <= found["images"].min() < found["images"].max() <= 1


def test_the_command_of_a_run_is_on_its_card(run):
    """The options are those of `kvae train`, and make the config of the run."""
    text = (run.path / "bundle" / "README.md").read_text()
    (command,) = re.findall(r"```sh\n(.*?)\n```", text)
    assert command.startswith("kvae train ")
    with main.commands["train"].make_context("train", shlex.split(command)[2:]) as context:
        options = {name: context.params[name] for name in context.params if name in flat(TrainConfig())}
        assert recipes.resolve(None, given(context, options)) == read_config(run.path)
    assert Manifest.read(run.path / "bundle").posterior is not None


def test_the_javascript_on_the_card_runs_in_node(exported, text, tmp_path):
    """In the folder of the graph, with onnxruntime-node."""
    (code,) = re.findall(r"```js\n(.*?)```", text, re.DOTALL)
    shutil.copy(exported.path / "decoder.onnx", tmp_path)
    (tmp_path / "node_modules").symlink_to(node_modules(EXAMPLES / "node"))
    found = javascript(f"{code}\noutput(Array.from(mean.data));", tmp_path)
    assert len(found) == 64 * 8 * 8
    assert 0 <= min(found) < max(found) <= 1


@pytest.mark.parametrize("name", MEMBERS)
def test_the_programs_on_the_card_of_a_member_run(member_path, name, tmp_path, monkeypatch):
    """With labels, components and the prior's graph: in Python, and in Node, in the bundle's folder."""
    path = member_path(name)
    text = (path / "README.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    monkeypatch.chdir(path)
    found = {}
    exec(compile(code, "README.md", "exec"), found)
    assert found["images"].shape == (64, 8, 8, 1)
    (code,) = re.findall(r"```js\n(.*?)```", text, re.DOTALL)
    shutil.copytree(path, tmp_path / "b")
    (tmp_path / "b" / "node_modules").symlink_to(node_modules(EXAMPLES / "node"))
    pixels = javascript(f"{code}\noutput(Array.from(mean.data));", tmp_path / "b")
    assert len(pixels) == 64 * 8 * 8 and 0 <= min(pixels) < max(pixels) <= 1
    if name == "mixture":  # components as frequent as they are: 0.5, 0.25, 0.125, 0.125
        counts = np.bincount(found["component"], minlength=4)
        assert np.all(np.abs(counts - 64 * np.array(PROBS)) < 4 * np.sqrt(64 * np.array(PROBS)))


@pytest.mark.parametrize("name", MEMBERS)
def test_the_page_on_the_card_of_a_member_runs_in_a_browser(member_path, name, tmp_path, browser):
    path = member_path(name)
    (code,) = re.findall(r"```html\n(.*?)```", (path / "README.md").read_text(), re.DOTALL)
    shutil.copytree(path, tmp_path / "b")
    icon = '<link rel="icon" href="data:,">'
    page_text = f"<!doctype html>{icon}<body></body>{code.replace(onnxruntime_web.CDN, './ort/dist/')}"
    (tmp_path / "b" / "index.html").write_text(page_text)
    (tmp_path / "b" / "ort").symlink_to(node_modules(EXAMPLES / "browser") / "onnxruntime-web")
    with served(tmp_path / "b") as address:
        page = browser.open(address)
        page.wait_for_function("document.body.innerText.includes('a pixel in the middle: ')")
    assert browser.trouble == []


def test_the_card_says_which_member_it_is(member_path):
    """Labels, groups, the prior, and which inputs are integers."""
    for name, facts in {
        "mixture": ["the prior MixtureSameFamily with 4 components", "input `component` | int64 [batch] |"],
        "labelled": ["conditional", "left shoe, right shoe, ankle boot", "not said to be int64 are float32"],
        "groups": ["in 2 groups of 1, 2", "encoder.onnx | input `noise` | [batch, 3] |", "drawn from N(0, I)"],
    }.items():
        text = (member_path(name) / "README.md").read_text()
        for fact in facts:
            assert fact in text, fact


def test_metrics_of_a_model_with_labels_are_said_to_be_given_them(member_path):
    manifest = replace(Manifest.read(member_path("labelled")), metrics=METRICS)
    assert "of each image given its label: log p(x\\|y)." in card.render(manifest)


def test_the_page_on_the_card_runs_in_a_browser(exported, text, tmp_path, browser):
    """In the folder of the graph, with the same version of onnxruntime-web that the examples have."""
    (code,) = re.findall(r"```html\n(.*?)```", text, re.DOTALL)
    package = node_modules(EXAMPLES / "browser") / "onnxruntime-web"
    assert json.loads((package / "package.json").read_text())["version"] == onnxruntime_web.VERSION
    assert code.count(onnxruntime_web.CDN) == 1
    icon = '<link rel="icon" href="data:,">'
    (tmp_path / "index.html").write_text(
        f"<!doctype html>{icon}<body></body>{code.replace(onnxruntime_web.CDN, './ort/dist/')}"
    )
    (tmp_path / "ort").symlink_to(package)
    shutil.copy(exported.path / "decoder.onnx", tmp_path)
    with served(tmp_path) as address:
        page = browser.open(address)
        page.wait_for_function("document.body.innerText.includes('a pixel in the middle: ')")
        assert 0 <= float(page.inner_text("body").rpartition(":")[2]) <= 1
    assert browser.trouble == []


@pytest.mark.parametrize("name", locate.shipped())
def test_a_shipped_card_is_up_to_date(name):
    """After a change to the card, run `make shipped`, or `kvae export` on the run that the bundle was made from."""
    path = locate.shipped()[name]
    manifest = Manifest.read(path)
    assert (path / "README.md").read_text() == card.render(manifest, manifest.files)
