"""`kvae verify` on bundles of format 2: every graph is checked, and what is wrong with one is found."""

import shutil
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
from family import MEMBERS
from onnx import helper, numpy_helper

from kvae.bundle import folder as bundle_files
from kvae.bundle import noise
from kvae.bundle.manifest import METADATA_KEY, Manifest
from kvae.checks import graph_checks, providers, verification, verify


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(graph_checks, "SPEED_SECONDS", 0.001)


@pytest.fixture
def remade(member_path, tmp_path):
    """A copy of a member's bundle with a graph or fields changed, and all hashes and metadata right."""

    def remake(name, edit=None, graph="decoder", **fields):
        folder = shutil.copytree(member_path(name), tmp_path / "bundle")
        manifest = replace(Manifest.read(folder), **fields)
        for role in manifest.tensors:
            path = folder / f"{role}.onnx"
            model = onnx.load(path)
            if edit and role == graph:
                edit(model)
            del model.metadata_props[:]
            model.metadata_props.add(key=METADATA_KEY, value=manifest.for_graph())
            path.write_bytes(model.SerializeToString())
        bundle_files.write_manifest(folder, manifest)
        return folder

    return remake


def failures(report):
    return {check.name: check.detail for check in report.checks if check.status == verification.FAILED}


def scale_weights(factor):
    """All float weights of a graph times a factor."""

    def edit(model):
        for weight in model.graph.initializer:
            if weight.data_type == onnx.TensorProto.FLOAT:
                values = numpy_helper.to_array(weight) * np.float32(factor)
                weight.CopyFrom(numpy_helper.from_array(values.astype(np.float32), weight.name))

    return edit


def without_label(model):
    del model.graph.input[1]


def infinite(model):
    """The density is infinite."""
    (maker,) = (node for node in model.graph.node if "log_prob" in node.output)
    maker.output[:] = ["before"]
    zero = numpy_helper.from_array(np.float32(0), "nothing")
    model.graph.initializer.append(zero)
    model.graph.node.append(helper.make_node("Div", ["before", "nothing"], ["log_prob"]))


def mean_of_batch(model):
    """A draw that depends on the other noise of its batch."""
    (maker,) = (node for node in model.graph.node if "z" in node.output)
    maker.output[:] = ["before"]
    model.graph.node.append(helper.make_node("ReduceMean", ["before"], ["of_batch"], axes=[0]))
    model.graph.node.append(helper.make_node("Max", ["before", "of_batch"], ["z"]))


@pytest.mark.parametrize("name", MEMBERS)
def test_every_member_passes_every_check(member_path, name):
    report = verify(member_path(name))
    assert {check.status for check in report.checks} == {verification.OK}
    figures = next(check.figures for check in report.checks if check.name == "parity")
    outputs = {end["name"] for ends in Manifest.read(member_path(name)).tensors.values() for end in ends["outputs"]}
    assert outputs <= {*figures}


@pytest.mark.parametrize(
    ("name", "edit", "graph", "expected", "message"),
    [
        ("mixture", scale_weights(1.01), "prior", {"parity"}, "'z' differs from Keras at export"),
        ("mixture", scale_weights(1.01), "prior_density", {"parity"}, "'log_prob' differs from Keras at export"),
        ("mixture", infinite, "prior_density", {"batch sizes", "range", "parity"}, "'log_prob' is"),
        ("mixture", mean_of_batch, "prior", {"batch sizes", "parity"}, "'z' differs from the image computed alone"),
        ("all", without_label, "decoder", {"shapes"}, "its inputs are z"),
    ],
)
def test_a_broken_graph_is_found(remade, name, edit, graph, expected, message):
    found = failures(verify(remade(name, edit, graph)))
    assert expected <= {*found} and {*found} <= expected | {"range"}
    assert any(message in text for text in found.values()), found


def test_a_missing_graph_is_named(remade):
    folder = remade("mixture")
    (folder / "prior_density.onnx").unlink()
    found = failures(verify(folder))
    assert "prior_density.onnx is missing" in found["hashes"]
    assert "there is no prior_density.onnx" in found["loading"]


def test_other_choices_fail_noise(member_path, monkeypatch):
    """By a numpy that would draw other words in the streams of components and labels."""
    choices = noise.choices
    monkeypatch.setattr(noise, "choices", lambda seed, *rest: choices(seed + 1, *rest))
    assert "other choices" in failures(verify(member_path("groups")))["noise"]


def test_the_pinned_choices_are_the_specification_s():
    from philox import specified_choice

    for stream, expected in graph_checks.CHOICES.items():
        weights = graph_checks.CHOICE_WEIGHTS
        assert tuple(specified_choice(0, image, weights, stream) for image in range(8)) == expected


def test_a_lone_graph_that_its_manifest_does_not_know_fails(member_path, tmp_path):
    """A prior's graph with the manifest of a model without one."""
    model = onnx.load(member_path("mixture") / "prior.onnx")
    del model.metadata_props[:]
    other = Manifest.read(member_path("groups"))
    model.metadata_props.add(key=METADATA_KEY, value=other.for_graph())
    path = tmp_path / "any.onnx"
    path.write_bytes(model.SerializeToString())
    assert "does not fit its manifest" in failures(verify(path))["shapes"]


def test_doctor_can_decode_with_a_decoder_that_takes_labels(member_path):
    found = providers.try_all(onnxruntime, member_path("labelled") / "decoder.onnx")
    assert (found[0].name, found[0].status) == (providers.CPU, providers.WORKS)
