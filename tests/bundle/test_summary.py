"""What `kvae info` prints, of every kind of bundle and graph, and of a stranger's."""

import json
import re
import shutil
from dataclasses import replace

import pytest
from click.testing import CliRunner
from strange_graphs import decoder, encoder, manifest, write_bundle, write_lone

from kvae.bundle import card, summary
from kvae.cli.main import main

NASTY = "x\n\u202e\u200b`|<b>$(id)"


def info(path, *words):
    result = CliRunner().invoke(main, ["info", str(path), *words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_words_of_a_bundle(tmp_path):
    text = info(write_bundle(tmp_path / "b"))
    assert re.search(r"^bundle  .*b \(format 1, kvae 0.1.0\)$", text, re.MULTILINE)
    assert re.search(r"^codes  +4 numbers, prior N\(0, I\)$", text, re.MULTILINE)
    assert re.search(r"^  decoder +takes z float32 \[batch, 4\]$", text, re.MULTILINE)
    assert re.search(r"^ +gives mean float32 \[batch, 2, 2, 1\]$", text, re.MULTILINE)
    assert re.search(r"^  encoder +takes images float32 \[batch, 2, 2, 1\]$", text, re.MULTILINE)
    assert re.search(r"^ +gives scale float32 \[batch, 4\]$", text, re.MULTILINE)
    assert "->" not in text
    assert re.search(r"^test metrics  none$", text, re.MULTILINE)
    assert re.search(r"^  decoder.onnx +[\d,]+ bytes$", text, re.MULTILINE)


def test_a_zip_is_called_a_bundle(tmp_path):
    write_bundle(tmp_path / "b")
    text = info(shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path / "b"))
    assert re.search(r"^bundle  .*packed.zip \(format 1", text, re.MULTILINE)
    assert re.search(r"^  packed.zip +[\d,]+ bytes$", text, re.MULTILINE)


@pytest.mark.parametrize("suffix", ["onnx", "ort"])
def test_a_lone_graph_shows_itself_alone(tmp_path, suffix):
    known = manifest(graph_format=suffix)
    for name, make, other in (("decoder", decoder, "encoder"), ("encoder", encoder, "decoder")):
        text = info(write_lone(make(known=known), tmp_path / f"any.{suffix}"))
        assert text.startswith("graph  ")
        assert f"  {name}  " in text
        assert other not in text
        assert f"graphs        {suffix}, opset 17, float32 weights" in text


def test_metrics_have_their_unit():
    metrics = {"elbo": {"value": -3.0, "standard_error": 0.5}, "active_units": {"value": 2, "standard_error": 0.0}}
    text = summary.as_text(manifest(metrics=metrics, binarize="dynamic"), write_nothing())
    assert re.search(r"elbo +-3.00 ± 0.50 nats per image$", text, re.MULTILINE)
    assert re.search(r"active_units +2.00 ± 0.00 dimensions$", text, re.MULTILINE)
    assert "for images binarised to 0 and 1" in text


def test_a_member_of_format_2_says_what_it_is(member_path):
    text = info(member_path("mixture"))
    assert re.search(r"^bundle  .* \(format 2, ", text, re.MULTILINE)
    assert re.search(r"^codes  +3 numbers, prior MixtureSameFamily, 4 components$", text, re.MULTILINE)
    assert re.search(r"^  prior  +takes noise float32 \[batch, 3\]$", text, re.MULTILINE)
    assert re.search(r"^ +takes component int64 \[batch\]$", text, re.MULTILINE)
    assert re.search(r"^  prior_density +takes z float32 \[batch, 3\]$", text, re.MULTILINE)
    text = info(member_path("all"))
    assert re.search(r"^groups  +2 of 1, 2: the encoder takes the noise of the draw$", text, re.MULTILINE)
    assert re.search(r"^labels  +3, with their share of the training images$", text, re.MULTILINE)
    assert re.search(r"^ +2  ankle boot 62.5%$", text, re.MULTILINE)


def test_only_so_many_labels_are_listed():
    names = [str(number) for number in range(60)]
    weights = [round((number + 1) * 2**53 / 60) for number in range(60)]
    text = summary.as_text(manifest(labels=names, label_weights=weights), write_nothing())
    assert re.search(r"^ +49  49 1.7%$", text, re.MULTILINE) and "... and 10 more" in text and "  50  50" not in text


def write_nothing():
    from pathlib import Path

    return Path(__file__)


def strange():
    """A manifest, as a stranger may write it, whose every text is nasty."""
    number = {"value": 1.0, "standard_error": 0.1}
    return manifest(
        kvae_version=NASTY,
        dataset={"name": NASTY, "sha256": NASTY, "num_images": 3, "licence": NASTY},
        likelihood=NASTY,
        likelihood_parameters=[NASTY],
        precision=NASTY,
        metrics={NASTY: number, "elbo": number},
        parity={"tolerance": 1e-5, "errors": {NASTY: 1e-6}},
        training={"loss_caveat": NASTY, "dataset": NASTY, "data": NASTY},
    )


def test_texts_of_strangers_are_harmless_on_a_terminal(tmp_path):
    known = strange()
    path = write_bundle(tmp_path / "b", known=known)
    (path / "\x1b[2J\u202e.txt").write_text("x")
    for line in info(path).splitlines():
        assert line.isprintable(), line
    found = json.loads(info(path, "--json"))
    assert found["manifest"]["dataset"]["name"] == NASTY
    assert "\x1b" not in info(path, "--json")


def test_texts_of_strangers_are_harmless_in_a_card():
    known = strange()
    text = card.render(known)
    plain = card.render(replace(known, **{name: value for name, value in vars(manifest()).items()
                                          if name in ("dataset", "kvae_version", "likelihood", "precision")},
                                metrics={"other": known.metrics["elbo"], "elbo": known.metrics["elbo"]}, training={},
                                likelihood_parameters=["logits"],
                                parity={"tolerance": 1e-5, "errors": {"mean": 1e-6}}))  # fmt: skip
    assert all(line.isprintable() for line in text.splitlines())
    assert "<b>" not in text.partition("\n---\n")[2]
    shapes = [
        [re.sub(r"\\\||[^|#]", "", line) for line in each.splitlines() if line.startswith(("#", "|", "```", "---"))]
        for each in (text, plain)
    ]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize("values", [{"dataset": "mine", "data": "$(touch x) `y`"}, {"dataset": "mine", "data": "a\nb"}])
def test_the_command_in_a_card_is_one_line(values):
    (line,) = [line for line in card.render(manifest(training=values)).splitlines() if line.startswith("kvae train")]
    assert "$'a\\u000ab'" in line or "'$(touch x) `y`'" in line
    assert "None" not in line
