"""Graphs that are refused before onnxruntime reads them; they are written by `onnx`, or byte by byte."""

import os
import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from kvae.bundle import graph_rules, locate, onnx_scan
from kvae.errors import BundleError

WEIGHT = numpy_helper.from_array(np.ones((2, 2), np.float32), "w")


def model(*nodes, weights=(WEIGHT,), **settings):
    """A graph from x to y, both float32 `(batch, 2)`."""
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 2]) for name in ("x", "y")]
    nodes = nodes or (helper.make_node("MatMul", ["x", "w"], ["y"]),)
    graph = helper.make_graph(list(nodes), "graph", ends[:1], ends[1:], list(weights))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, **settings)


def outside(tensor):
    """The tensor, with its numbers declared to be in another file."""
    moved = TensorProto()
    moved.CopyFrom(tensor)
    moved.ClearField("raw_data")
    moved.data_location = TensorProto.EXTERNAL
    moved.external_data.add(key="location", value="../../secret")
    return moved


def branch(node, weights=()):
    end = helper.make_tensor_value_info(node.output[0], TensorProto.FLOAT, None)
    return helper.make_graph([node], "branch", [], [end], list(weights))


def check(tmp_path, content):
    path = tmp_path / "lone.onnx"
    path.write_bytes(content if isinstance(content, bytes) else content.SerializeToString())
    onnx_scan.check(path)


def refused(tmp_path, content, message):
    with pytest.raises(BundleError, match=message) as caught:
        check(tmp_path, content)
    assert str(caught.value).startswith(str(tmp_path / "lone.onnx"))
    assert "\n" not in str(caught.value)


def test_good_graphs_pass(tmp_path, bundle_path):
    check(tmp_path, model())
    for name in ("decoder", "encoder"):
        onnx_scan.check(bundle_path / f"{name}.onnx")
        onnx_scan.check(locate.shipped()["fashion_mnist"] / f"{name}.onnx")


def calls_of(work):
    """How many calls of functions some work makes, Python's own and those in C."""
    made = []
    sys.setprofile(lambda frame, event, argument: made.append(event) if event in ("call", "c_call") else None)
    try:
        work()
    finally:
        sys.setprofile(None)
    return len(made)


def test_weights_are_skipped_not_read(tmp_path):
    """A graph with a million times as many numbers takes as many steps; one of 2 MB takes few."""
    counts = []
    for size in (1, 1000):
        weight = numpy_helper.from_array(np.ones((size, size), np.float32), "w")
        path = tmp_path / f"{size}.onnx"
        path.write_bytes(model(weights=[weight]).SerializeToString())
        counts.append(calls_of(lambda path=path: onnx_scan.check(path)))
    small, large = counts
    assert abs(large - small) < 50  # the longer numbers of bytes
    assert calls_of(lambda: onnx_scan.check(locate.shipped()["fashion_mnist"] / "decoder.onnx")) < 20_000


def test_weights_in_another_file_are_refused_wherever_they_are_named(tmp_path):
    constant = helper.make_node("Constant", [], ["w"], value=outside(WEIGHT))
    product = helper.make_node("MatMul", ["x", "w"], ["y"])
    truth = helper.make_node("Constant", [], ["truth"], value=helper.make_tensor("t", TensorProto.BOOL, [], [True]))
    branches = [branch(helper.make_node("MatMul", ["x", "w"], ["y"]), [weight]) for weight in (WEIGHT, outside(WEIGHT))]
    choice = helper.make_node("If", ["truth"], ["y"], then_branch=branches[0], else_branch=branches[1])
    several = helper.make_node("MatMul", ["x", "w"], ["y"])
    several.attribute.append(helper.make_attribute("more", [WEIGHT, outside(WEIGHT)]))
    for content in (
        model(weights=[outside(WEIGHT)]),
        model(constant, product, weights=[]),
        model(truth, choice, weights=[]),
        model(several),
    ):
        refused(tmp_path, content, "tensor 'w' in another file")


def test_either_sign_of_another_file_is_enough(tmp_path):
    """The name of a file without the flag, and the flag without a name."""
    named, flagged = outside(WEIGHT), outside(WEIGHT)
    named.ClearField("data_location")
    del flagged.external_data[:]
    for weight in (named, flagged):
        refused(tmp_path, model(weights=[weight]), "in another file")


def test_operators_that_are_not_onnx_s_are_refused_in_branches_too(tmp_path):
    custom = helper.make_node("Evil", ["x"], ["y"], domain="com.example")
    truth = helper.make_node("Constant", [], ["truth"], value=helper.make_tensor("t", TensorProto.BOOL, [], [True]))
    inner = helper.make_node("If", ["truth"], ["y"], then_branch=branch(custom), else_branch=branch(custom))
    outer = helper.make_node("If", ["truth"], ["y"], then_branch=branch(inner), else_branch=branch(inner))
    for nodes in ((custom,), (truth, outer)):
        refused(tmp_path, model(*nodes), "com.example Evil is not a standard ONNX operator")
    contrib = helper.make_node("QuickGelu", ["x"], ["y"], domain="com.microsoft")
    refused(tmp_path, model(contrib), "com.microsoft QuickGelu is not a standard ONNX operator")


@pytest.mark.parametrize("operator", ["Loop", "Scan"])
def test_operators_that_may_never_end_are_refused(tmp_path, operator):
    """A trip count of 2^62 takes eight bytes, and onnxruntime cannot be stopped."""
    refused(tmp_path, model(helper.make_node(operator, ["z"], ["mean"])), f"has a {operator}, which may never end")


def test_noise_in_a_graph_is_refused(tmp_path):
    refused(tmp_path, model(helper.make_node("RandomNormalLike", ["x"], ["y"])), "RandomNormalLike draws noise")


def test_parts_that_kvae_never_writes_are_refused(tmp_path):
    function = helper.make_function(
        "local", "F", ["x"], ["y"], [helper.make_node("Relu", ["x"], ["y"])], [helper.make_opsetid("", 17)]
    )
    refused(tmp_path, model(functions=[function]), "a model has a field 25\\.")
    sparse = model()
    values = helper.make_tensor("s", TensorProto.FLOAT, [1], [1.0])
    indices = helper.make_tensor("i", TensorProto.INT64, [1], [3])
    sparse.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [2, 2]))
    refused(tmp_path, sparse, "a graph has a field 15\\.")
    trained = model()
    trained.training_info.add().algorithm.CopyFrom(trained.graph)
    refused(tmp_path, trained, "a model has a field 20\\.")
    texts = helper.make_tensor("w", TensorProto.STRING, [1], [b"text"])
    refused(tmp_path, model(weights=[texts]), r"a tensor has a field 6\.")
    texts.ClearField("string_data")
    refused(tmp_path, model(weights=[texts]), "a tensor 'w' that does not hold numbers")


@pytest.mark.parametrize(
    ("dims", "data"),
    [
        ([2**40], b""),
        ([2**31, 2**31, 2**31], bytes(16)),
        ([-1], bytes(4)),
        ([-2, -2], bytes(16)),
        ([2, 2], bytes(12)),
        ([2, 2], bytes(20)),
        ([1] * 33, bytes(4)),
    ],
)
def test_a_tensor_whose_shape_does_not_fit_its_bytes_is_refused(tmp_path, dims, data):
    weight = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=dims, raw_data=data)
    refused(tmp_path, model(weights=[weight]), "a tensor 'w' .* shape|more than 32 sizes")


def test_numbers_in_separate_fields_are_counted(tmp_path):
    """Fields of floats, doubles and varints, which have different lengths."""
    good = [
        helper.make_tensor(f"t{kind}", kind, [3], [1, 2, 300 if kind in (6, 7, 13) else 3])
        for kind in (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.INT32, TensorProto.INT64, TensorProto.UINT64)
    ]
    check(tmp_path, model(weights=[WEIGHT, *good]))
    for tensor in good:
        tensor.dims[0] = 10**9
        refused(tmp_path, model(weights=[WEIGHT, tensor]), f"a tensor '{tensor.name}' .* shape")


def test_sizes_of_four_bits_are_rounded_up(tmp_path):
    weight = TensorProto(name="w4", data_type=TensorProto.INT4, dims=[5], raw_data=bytes(3))
    check(tmp_path, model(weights=[WEIGHT, weight]))


def test_a_padding_beyond_any_image_is_refused(tmp_path):
    for name in ("pads", "strides", "dilations", "kernel_shape", "output_padding", "output_shape"):
        node = helper.make_node("ConvTranspose", ["x", "w"], ["y"], **{name: [0, 10**6, 0, 0]})
        refused(tmp_path, model(node), f"{name} of 1000000.*0 to 4096")
        if name != "pads":  # ConvTranspose allows negative ones
            node = helper.make_node("ConvTranspose", ["x", "w"], ["y"], **{name: [0, -1]})
            refused(tmp_path, model(node), f"{name} of -1")
    check(tmp_path, model(helper.make_node("ConvTranspose", ["x", "w"], ["y"], pads=[0, -1, 1, 4096])))


def test_a_window_larger_than_the_images_is_refused(tmp_path):
    """onnxruntime ends the process when a Slice gets the negative size that is left."""

    def convolution(**settings):
        graph = model(helper.make_node("Conv", ["x", "w"], ["y"], **settings))
        for end, shape in ((graph.graph.input[0], ["batch", 3, 5, 1]), (graph.graph.output[0], ["batch", 99, 9, 1])):
            end.CopyFrom(helper.make_tensor_value_info(end.name, TensorProto.FLOAT, shape))
        return graph

    for settings in (
        {"kernel_shape": [1, 6]},
        {"kernel_shape": [2, 2], "dilations": [1, 5]},
        {"kernel_shape": [8, 2], "pads": [1, 0, 1, 0]},
    ):
        refused(tmp_path, convolution(**settings), r"window of 6 pixels, more than its images have \(5\)")
    for settings in ({"kernel_shape": [5, 5]}, {"kernel_shape": [7, 7], "pads": [1, 1, 1, 1]}):
        check(tmp_path, convolution(**settings))


def test_a_negative_size_is_refused(tmp_path):
    graph = model()
    graph.graph.input[0].type.tensor_type.shape.dim[1].dim_value = -2
    refused(tmp_path, graph, "a shape with a negative size")


def test_a_duplicate_field_is_refused(tmp_path):
    """Readers of protobuf take the last of two, or merge them; kvae must check the same that onnxruntime reads."""
    content = model().SerializeToString()
    refused(tmp_path, content + content, "two fields")
    tensor = WEIGHT.SerializeToString() + TensorProto(raw_data=bytes(4)).SerializeToString()
    graph = onnx.GraphProto(name="g").SerializeToString() + b"\x2a" + bytes([len(tensor)]) + tensor
    refused(tmp_path, b"\x08\x08\x3a" + bytes([len(graph)]) + graph, "a tensor with two fields 9")


def test_bytes_that_are_not_a_graph_are_refused(tmp_path):
    whole = model().SerializeToString()
    for content, message in {
        b"": "has 0 bytes",
        b"hello": "is a text",
        b"\xff" * 40: "not an ONNX graph, or is damaged: .* number",
        b"\x08": "number at byte 1",
        b"\x3b\x01": "byte 1 begins",  # a group, removed from protobuf long ago
        whole[:-3]: "cut short: .* bytes after byte",
        b"\x08\x08": "does not hold a graph",
    }.items():
        refused(tmp_path, content, message)


def test_the_nesting_of_messages_is_limited(tmp_path):
    """Ten thousand nested graphs, each in an attribute of a node of the one before, do not overflow the stack."""
    content = b""
    for tag in (b"\x2a", b"\x0a", b"\x32") * 3000:  # node.attribute, graph.node, attribute.g, from inside to outside
        length, size = b"", len(content)
        while True:
            length += bytes([size & 127 | (128 if size > 127 else 0)])
            size >>= 7
            if not size:
                break
        content = tag + length + content
    outer = content[content.index(b"\x0a") :] if content[:1] != b"\x0a" else content
    refused(tmp_path, b"\x3a" + _varint(len(outer)) + outer, "more than 40 deep|not an ONNX graph")


def _varint(value):
    groups = []
    while value > 127:
        groups.append(value & 127 | 128)
        value >>= 7
    return bytes([*groups, value])


def test_the_number_of_parts_is_limited(tmp_path, monkeypatch):
    node = helper.make_node("Relu", ["x"], ["y"]).SerializeToString()
    nodes = (b"\x0a" + bytes([len(node)]) + node) * 21_000
    refused(tmp_path, b"\x3a" + _varint(len(nodes)) + nodes, "more than 20,000 operators")
    names = b"\x12\x00" * 10  # empty names, of two bytes each
    monkeypatch.setattr(graph_rules, "MAX_PARTS", 8)
    refused(tmp_path, b"\x08\x08" + b"\x42\x00" * 10 + names, "has more than 8 parts")


def test_names_cannot_send_control_characters_to_the_terminal(tmp_path):
    node = helper.make_node("\x1b[2JEvil\nline", ["x"], ["y"], domain="com.example\r")
    refused(tmp_path, model(node), r"com.example \?\[2JEvil line is not a standard")


def test_a_path_that_is_not_a_file_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe.onnx")
    for name, message in {
        "pipe.onnx": "it is not a regular file",
        "missing.onnx": "No such file",
        ".": "it is not a regular file",
    }.items():
        with pytest.raises(BundleError, match=f"cannot read .*{message}"):
            onnx_scan.check(tmp_path / name)
