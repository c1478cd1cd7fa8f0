"""What a stranger's graph may hold: each rule, in both formats."""

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from strange_graphs import FLOAT, TensorProto, constant, decoder, write_lone

from kvae.bundle import graph_rules, onnx_scan
from kvae.errors import BundleError

node = helper.make_node
SIGMOID = node("Sigmoid", ["d"], ["flat"])
TRUE, FALSE, HALF = constant("t", True, bool), constant("t", False, bool), constant("r", 0.5)


def body():
    """The body of a Loop that goes on for ever."""
    ends = [helper.make_tensor_value_info(*end) for end in (("i", TensorProto.INT64, []), ("c", TensorProto.BOOL, []))]
    results = [helper.make_tensor_value_info("go_on", TensorProto.BOOL, []), value("w")]
    nodes = [node("Identity", ["c"], ["go_on"]), node("Identity", ["v"], ["w"])]
    return helper.make_graph(nodes, "body", [*ends, value("v")], results)


def value(name):
    return helper.make_tensor_value_info(name, FLOAT, None)


def branches(*inner):
    """An If, both of whose branches hold these nodes, which go from z to b."""
    then, other = (helper.make_graph(list(inner), name, [], [value("b")]) for name in ("then", "other"))
    return [TRUE, node("If", ["t"], ["d"], then_branch=then, else_branch=other), SIGMOID]


ENDLESS = [constant("n", 2**62, np.int64), TRUE, node("Loop", ["n", "t", "z"], ["d"], body=body()), SIGMOID]
REFUSED = {
    "Dropout in training": ([TRUE, HALF, node("Dropout", ["z", "r", "t"], ["d"]), SIGMOID], "Dropout draws noise"),
    "Dropout, not known": (
        [node("ReduceSum", ["z"], ["s"], keepdims=0), node("IsNaN", ["s"], ["t"]), HALF]
        + [node("Dropout", ["z", "r", "t"], ["d"]), SIGMOID],
        "Dropout draws noise",
    ),
    "Dropout, hidden in a branch": (
        branches(HALF, constant("u", True, bool), node("Dropout", ["z", "r", "u"], ["b"])),
        "Dropout draws noise",
    ),
    "RandomNormalLike": ([node("RandomNormalLike", ["z"], ["d"]), SIGMOID], "RandomNormalLike draws noise"),
    "RandomUniformLike": ([node("RandomUniformLike", ["z"], ["d"]), SIGMOID], "RandomUniformLike draws noise"),
    "RandomNormal": (
        [node("RandomNormal", [], ["n"], shape=[1, 4]), node("Add", ["z", "n"], ["d"]), SIGMOID],
        "RandomNormal draws noise",
    ),
    "RandomUniform in a branch": (
        branches(node("RandomUniform", [], ["b"], shape=[1, 4])),
        "RandomUniform draws noise",
    ),
    "Multinomial": (
        [node("Multinomial", ["z"], ["i"], sample_size=4, dtype=6), node("Cast", ["i"], ["d"], to=1), SIGMOID],
        "Multinomial draws noise",
    ),
    "com.microsoft": (
        [node("Gelu", ["z"], ["d"], domain="com.microsoft"), SIGMOID],
        "com.microsoft Gelu is not a stand",
    ),
    "com.microsoft in a branch": (
        branches(node("QuickGelu", ["z"], ["b"], domain="com.microsoft")),
        "com.microsoft QuickGelu is not a standard",
    ),
    "Loop": (ENDLESS, "has a Loop, which may never end"),
    "sequences": (
        [node("SequenceConstruct", ["z", "z"], ["q"]), node("ConcatFromSequence", ["q"], ["e"], axis=1)]
        + [node("Slice", ["e", "from", "to", "axis"], ["d"]), SIGMOID]
        + [constant(name, [at], np.int64) for name, at in (("from", 0), ("to", 4), ("axis", 1))],
        "SequenceConstruct is not a standard|is not a tensor",
    ),
    "padding": (
        [constant("shape4", [-1, 1, 2, 2], np.int64), node("Reshape", ["z", "shape4"], ["p"])]
        + [node("MaxPool", ["p"], ["d"], kernel_shape=[1, 1], strides=[5000, 5000]), SIGMOID],
        "has strides of 5000; expected 0 to 4096",
    ),
}


def ordered(nodes):
    """The nodes, constants first."""
    return sorted(nodes, key=lambda each: each.op_type != "Constant")


@pytest.mark.parametrize("suffix", ["onnx", "ort"])
@pytest.mark.parametrize("case", REFUSED)
def test_both_formats_are_refused_alike(tmp_path, case, suffix):
    nodes, message = REFUSED[case]
    path = write_lone(decoder(*ordered(nodes), imports=["com.microsoft"]), tmp_path / f"lone.{suffix}")
    with pytest.raises(BundleError, match=message) as caught:
        onnx_scan.check(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_noise_that_onnxruntime_itself_expands_is_found_in_both_formats(tmp_path):
    """onnxruntime writes a Bernoulli as the operators that it is made of, of which one draws noise."""
    graph = decoder(node("Sigmoid", ["z"], ["d"]), node("Bernoulli", ["d"], ["flat"]))
    for suffix in ("onnx", "ort"):
        with pytest.raises(BundleError, match="(Bernoulli|RandomUniformLike) draws noise"):
            onnx_scan.check(write_lone(graph, tmp_path / f"lone.{suffix}"))


@pytest.mark.parametrize("suffix", ["onnx", "ort"])
@pytest.mark.parametrize(
    "nodes",
    [
        [node("Sigmoid", ["z"], ["flat"])],
        [node("Dropout", ["z"], ["d"]), SIGMOID],
        [HALF, node("Dropout", ["z", "r"], ["d"], seed=3), SIGMOID],
        branches(node("Relu", ["z"], ["b"])),
        [node("Clip", ["z", "", "r"], ["d"]), SIGMOID, HALF],
    ],
    ids=["plain", "dropout that is off", "dropout with a ratio", "a branch", "an input left out"],
)
def test_both_formats_are_accepted_alike(tmp_path, nodes, suffix):
    found = onnx_scan.check(write_lone(decoder(*ordered(nodes)), tmp_path / f"lone.{suffix}"))
    assert found.opset == 17
    assert found.operators >= {"Reshape"}


def test_an_attribute_that_switches_training_on_is_refused():
    """Dropouts of the first opsets have an attribute, and a BatchNormalization depends on its batch with another."""
    for operator, attributes, message in (
        ("Dropout", {"is_test": 0}, "Dropout draws noise"),
        ("Dropout", {"training_mode": 1}, "Dropout draws noise"),
        ("BatchNormalization", {"training_mode": 1}, "in training mode"),
    ):
        with pytest.raises(BundleError, match=message):
            graph_rules.check_node("g", "", operator, [True], attributes)
    graph_rules.check_node("g", "ai.onnx", "BatchNormalization", [True] * 5, {"training_mode": 0})


@pytest.mark.parametrize(
    "domain", [" ", "com.microsoft", "ai.onnx.ml", "ai.onnx ", "\x1b[2J", "ai.onnx.preview.training"]
)
def test_a_domain_must_be_onnx_s_to_the_letter(domain):
    with pytest.raises(BundleError, match="is not a standard ONNX operator") as caught:
        graph_rules.check_node("g", domain, "Relu", [True], {})
    assert str(caught.value).isprintable()


def test_the_table_has_the_operators_of_onnx():
    """All of ONNX's operators are decided on; one that a later version adds must be put into the table or left out."""
    known = {schema.name for schema in onnx.defs.get_all_schemas_with_history() if schema.domain == ""}
    noise = {name for name in known if name.startswith("Random")} | set(graph_rules.DRAW_NOISE)
    others = {name for name in known if "Sequence" in name and name != "ReverseSequence"}
    others |= {name for name in known if name.startswith(("Optional", "String", "Regex", "TfIdf", "Image"))}
    assert known - noise - others - set(graph_rules.ENDLESS) == graph_rules.TENSOR_OPERATORS


def test_a_node_with_the_same_attribute_twice_is_refused(tmp_path):
    """Readers disagree on which of the two counts."""
    graph = decoder(node("BatchNormalization", ["z", "w", "w", "w", "w"], ["flat"], training_mode=0))
    graph.graph.initializer.append(numpy_helper.from_array(np.ones(4, np.float32), "w"))
    graph.graph.node[0].attribute.append(helper.make_attribute("training_mode", 1))
    with pytest.raises(BundleError, match="two attributes 'training_mode'"):
        onnx_scan.check(write_lone(graph, tmp_path / "lone.onnx"))


def test_a_graph_must_say_its_version_of_the_operators_once(tmp_path):
    for versions in ([], [17, 18]):
        graph = decoder()
        del graph.opset_import[:]
        graph.opset_import.extend(helper.make_opsetid("", version) for version in versions)
        with pytest.raises(BundleError, match="which version of ONNX's operators"):
            onnx_scan.check(write_lone(graph, tmp_path / "lone.onnx"))
