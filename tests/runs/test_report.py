"""The report on a run: what it shows, that it is self-contained, and that it handles a run in any state."""

import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from kvae.errors import KvaeError
from kvae.runs import report as run_report

SMALL = ("config.json", "environment.json", "dataset.json", "history.csv", "metrics.json", "samples.png",
         "reconstructions.png")  # fmt: skip


class Page(HTMLParser):
    """The tags of a page with their attributes, and its text by heading."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.sections, self._open = [], {"": ""}, []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in ("img", "meta", "br"):
            self._open.append(tag)
        if tag == "h2":
            self.sections["new"] = ""

    def handle_endtag(self, tag):
        assert self._open.pop() == tag
        if tag == "h2":
            self.sections[self.sections.pop("new")] = ""

    def handle_data(self, data):
        if "style" not in self._open:
            self.sections[list(self.sections)[-1]] += data

    def images(self):
        return [attributes["src"] for tag, attributes in self.tags if tag == "img"]


@pytest.fixture
def copy(run, tmp_path):
    """A copy of the run without its large files, to modify."""
    folder = tmp_path / "mini"
    folder.mkdir()
    for name in SMALL:
        shutil.copy(run.path / name, folder)
    (folder / "bundle").mkdir()
    shutil.copy(run.path / "bundle" / "manifest.json", folder / "bundle")
    return folder


def test_the_report_shows_the_run(run, copy):
    path = run_report.write(copy)
    assert path == copy / "report.html"
    assert not list(copy.glob(".report*"))
    page = Page(path.read_text(encoding="utf-8"))
    assert list(page.sections)[1:] == [
        "Training", "Samples", "Reconstructions", "Latent dimensions", "Data set", "Settings", "Versions",
    ]  # fmt: skip
    top = " ".join(page.sections[""].split())
    for name in ("elbo", "distortion", "rate"):
        assert f"{run.metrics[name].value:.2f}± {run.metrics[name].standard_error:.2f} nats per image" in top
    assert "8 of 8 epochs" in top and "log-probabilities of binarised images" in top
    assert top.endswith(
        "kvae train --architecture mlp --latent-dim 4 --hidden-units 64 --dataset fashion_mnist_mini --epochs 8 "
        "--batch-size 64 --jit off"
    )
    assert "num_images4,000" in page.sections["Data set"]
    assert "tensorflow" in page.sections["Versions"]


def test_it_is_self_contained(copy):
    text = run_report.render(copy)
    page = Page(text)
    assert len(page.images()) == 3 + 2 + 2  # curves, pictures, dimensions
    assert all(source.startswith("data:image/") for source in page.images())
    assert not {"script", "link", "iframe", "a"} & {tag for tag, _ in page.tags}
    assert not re.search(r"https?:", text) and "url(" not in text


def test_it_does_not_need_tensorflow(copy):
    code = (
        "import sys; from pathlib import Path; from kvae.runs import report\nreport.write(Path(sys.argv[1]))\n"
        "print(*{'tensorflow', 'keras', 'onnxruntime'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code, copy], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"
    assert (copy / "report.html").stat().st_size > 10_000


def test_pictures_of_a_few_epochs_and_skipped_steps(copy):
    (copy / "pictures").mkdir()
    for epoch in (*range(5, 31, 5), 10_000):
        for name in ("samples", "reconstructions"):
            Image.fromarray(np.full((600, 300), 7, np.uint8)).save(copy / "pictures" / f"{name}-{epoch:04d}.png")
    (copy / "pictures" / "samples-0005.png").write_bytes(b"\x89PNG, cut off")
    steps = [{"epoch": 2, "step": 7 * index, "images": list(range(64))} for index in range(25)]
    (copy / "skipped.jsonl").write_text("".join(json.dumps(step) + "\n" for step in steps))
    page = Page(run_report.render(copy))
    shown = re.findall(r"(Samples|Reconstructions) after epoch (\d+)", page.sections["During training"])
    assert shown == [
        ("Samples", "15"), ("Samples", "25"), ("Samples", "10000"),
        ("Reconstructions", "5"), ("Reconstructions", "15"), ("Reconstructions", "25"), ("Reconstructions", "10000"),
    ]  # fmt: skip
    told = page.sections["Skipped steps"]
    assert "25 steps were not applied" in told and "The first 20 of them" in told
    assert told.count("0, 1, 2, 3, 4, 5, 6, 7, 8, 9, … (64 in all)") == 20


def test_text_from_files_is_escaped(copy):
    hostile = copy.with_name("<b>&\udcff")
    copy.rename(hostile)
    config = json.loads((hostile / "config.json").read_text())
    (hostile / "config.json").write_text(json.dumps(config | {"dataset": "<script>alert(1)</script>"}))
    (hostile / "dataset.json").write_text(
        json.dumps({"<i>": {"<u>": ["<s>", None, True, 0.1234567891]}, "long": "x" * 999})
    )
    (hostile / "skipped.jsonl").write_text('{"<img src=x>": "<svg>"}\n')
    (hostile / "environment.json").write_text('{"kvae": "</table><script>"}')
    run_report.write(hostile)
    text = (hostile / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert not {"script", "i", "u", "s", "svg"} & {tag for tag, _ in page.tags}
    assert all(source.startswith("data:") for source in page.images())
    assert "<h1>&lt;b&gt;&amp;?</h1>" in text
    assert "'<script>alert(1)</script>'" in page.sections[""]  # and quoted for the shell
    assert "<u>: <s>, –, yes, 0.123457" in page.sections["Data set"]
    assert "x" * 200 + "…" in page.sections["Data set"]


def test_values_nested_deeply_are_cut(copy):
    (copy / "dataset.json").write_text('{"a": ' + '{"b": [' * 450 + "1" + "]}" * 450 + "}")
    assert "…" in Page(run_report.render(copy)).sections["Data set"]


def test_a_run_that_is_not_finished(copy):
    """Missing parts are not mentioned; a history without numbers has no curves."""
    for path in copy.rglob("*"):
        if path.is_file() and path.name != "config.json":
            path.unlink()
    page = Page(run_report.render(copy))
    assert list(page.sections)[1:] == ["Settings"]
    assert "0 of 8 epochs" in page.sections[""] and "not finished: it has no test metrics" in page.sections[""]
    (copy / "history.csv").write_text("epoch,elbo,val_elbo,val_loss\n")
    assert "Training" not in Page(run_report.render(copy)).sections
    (copy / "history.csv").write_text("epoch,elbo,val_elbo,val_loss\n0,-5,-6,6\n1,nan,nan,nan\n")
    page = Page(run_report.render(copy))
    assert len(page.images()) == 1
    assert "The model is from epoch 1, whose validation ELBO is -6.00" in page.sections[""]


def test_before_the_last_file_the_bundle_has_the_metrics(run, copy):
    (copy / "metrics.json").unlink()
    assert f"{run.metrics['elbo'].value:.2f}" in Page(run_report.render(copy)).sections[""]


def test_a_loss_that_is_not_a_bound_is_noted(copy):
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"entropy_weight": 0.0}))
    assert (
        "The loss weights the posterior's entropy by 0, not 1: it is not a bound"
        in Page(run_report.render(copy)).sections[""]
    )


def test_losses_of_moved_images_are_noted(copy):
    config = json.loads((copy / "config.json").read_text())
    assert "images moved" not in Page(run_report.render(copy)).sections[""]
    (copy / "config.json").write_text(json.dumps(config | {"shift": 1}))
    assert "The training losses are of images moved by up to 1 pixel;" in Page(run_report.render(copy)).sections[""]


def test_a_folder_that_is_not_a_run(tmp_path):
    with pytest.raises(KvaeError, match="is not a run: it has no config.json"):
        run_report.write(tmp_path)
    assert list(tmp_path.iterdir()) == []
