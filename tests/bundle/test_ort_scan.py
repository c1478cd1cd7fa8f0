"""The reader of onnxruntime's own format: what it reads is what onnxruntime reads, and nothing breaks it."""

import struct

import numpy as np
import pytest
from onnx import helper, numpy_helper
from strange_graphs import constant, decoder, manifest, write_bundle, write_lone

from kvae.bundle import graph_rules, locate, onnx_scan, ort_scan
from kvae.conversion.conversion import convert
from kvae.errors import BundleError


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    """A small graph in the format, with a stored tensor."""
    graph = decoder(helper.make_node("MatMul", ["z", "w"], ["d"]), helper.make_node("Sigmoid", ["d"], ["flat"]))
    graph.graph.initializer.append(numpy_helper.from_array(np.eye(4, dtype=np.float32), "w"))
    return write_lone(graph, tmp_path_factory.mktemp("ort") / "lone.ort").read_bytes()


def check(content):
    return onnx_scan.check_content(content, "lone.ort", ort=True)


def test_the_operators_are_found(content):
    assert check(content) == ({"MatMul", "Sigmoid", "Reshape"}, 17)


def test_graphs_that_kvae_converts_pass(tmp_path):
    """Of the shipped bundle of float32; the conversion itself opens what it wrote."""
    out = convert(locate.shipped()["fashion_mnist_small"], tmp_path / "out", graph_format="ort").path
    for name in ("decoder", "encoder", "prior", "prior_density"):
        assert (out / f"{name}.ort").is_file()
    for name in ("decoder", "encoder"):
        assert "Gemm" in onnx_scan.check(out / f"{name}.ort").operators


def test_a_bundle_in_the_format_opens_and_verifies(tmp_path):
    from kvae.checks import verify

    report = verify(write_bundle(tmp_path / "b", known=manifest(graph_format="ort")), device="cpu")
    assert {check.name: check.status for check in report.checks}["operators"] == "ok"
    assert report.passed, report


def test_an_opset_that_the_manifest_does_not_have_is_told(tmp_path):
    from kvae.bundle import operators

    path = write_lone(decoder(opset=16), tmp_path / "lone.ort")
    with pytest.raises(BundleError, match="the manifest has opset 17, the graph 16"):
        operators.check_file(path, 17)


def test_files_without_the_identifier_are_refused(content):
    for start in (b"", b"\0\0\0\0ORT?", b"\x08\x08" + bytes(20)):
        with pytest.raises(BundleError, match="ORTM|has 0 bytes"):
            check(start)
    with pytest.raises(BundleError, match="not an ONNX graph but one in onnxruntime's own format"):
        onnx_scan.check_content(content, "lone.onnx", ort=False)


def test_every_cut_of_a_file_is_refused_in_one_line(content):
    for length in range(0, len(content) - 8, 7):
        with pytest.raises(BundleError) as caught:
            check(content[:length])
        assert "\n" not in str(caught.value)


def test_offsets_that_lead_anywhere_are_refused_or_read_in_time(content):
    """Each word of the file in turn becomes the largest, the smallest or the distance back to the start."""
    seen = set()
    for at in range(0, len(content) - 4, 4):
        for value in (0xFFFFFFFF, 0, 0x80000000, at):
            changed = bytearray(content)
            struct.pack_into("<I", changed, at, value)
            try:
                check(bytes(changed))
                seen.add("accepted")
            except BundleError as error:
                assert "\n" not in str(error)
                seen.add("refused")
    assert seen == {"accepted", "refused"}


def find(content, name, index):
    """Where a field of the first table that has this many fields lies, found by the tests' own reading."""
    fields = ort_scan.FIELDS[name]
    walk = ort_scan._Walk(content, graph_rules.Rules("it"))
    tables = []
    original = walk._table

    def spy(kind, start):
        found = original(kind, start)
        tables.append((kind, found))
        return found

    walk._table = spy
    walk.file()
    return next(found[fields[index]] for kind, found in tables if kind == name and fields[index] in found)


@pytest.mark.parametrize(
    ("table", "field", "form", "value", "message"),
    [
        ("graph", 3, "<I", 2**32 - 1, "more than 20,000 operators"),
        ("graph", 3, "<I", 1, "indices of its nodes are wrong"),
        ("tensor", 3, "<i", 8, "that does not hold numbers"),
        ("size value", 1, "<q", -3, "a negative size"),
    ],
)
def test_numbers_that_onnxruntime_would_believe_are_refused(content, table, field, form, value, message):
    changed = bytearray(content)
    struct.pack_into(form, changed, find(content, table, field), value)
    with pytest.raises(BundleError, match=message):
        check(bytes(changed))


def test_a_tensor_whose_shape_does_not_fit_its_bytes_is_refused(content):
    changed = content.replace(struct.pack("<qq", 4, 4), struct.pack("<qq", 4, 2**40))
    assert changed != content
    with pytest.raises(BundleError, match="tensor 'w' whose number of bytes does not fit"):
        check(changed)


def test_a_window_larger_than_the_images_is_refused(tmp_path):
    nodes = [
        constant("shape4", [-1, 1, 2, 2], np.int64),
        helper.make_node("Reshape", ["z", "shape4"], ["p"]),
        helper.make_node("MaxPool", ["p"], ["d"], kernel_shape=[2, 2], pads=[1, 1, 1, 1], dilations=[3, 3]),
        helper.make_node("Sigmoid", ["d"], ["flat"]),
    ]
    onnx_scan.check(write_lone(decoder(*nodes), tmp_path / "lone.ort"))  # a window of 4, less the padding of 2
    nodes[2] = helper.make_node("MaxPool", ["p"], ["d"], kernel_shape=[2, 2], pads=[1, 1, 1, 1], dilations=[4, 4])
    graph = decoder(*nodes)
    path = tmp_path / "wide.ort"
    try:
        write_lone(graph, path)
    except Exception:  # onnxruntime may refuse to write it
        pytest.skip("onnxruntime does not write such a graph")
    with pytest.raises(BundleError, match=r"window of 3 pixels, more than its images have \(2\)"):
        onnx_scan.check(path)


def test_the_number_of_parts_and_the_depth_are_limited(content, monkeypatch):
    monkeypatch.setattr(graph_rules, "MAX_PARTS", 20)
    with pytest.raises(BundleError, match="more than 20 parts"):
        check(content)
    monkeypatch.undo()
    monkeypatch.setattr(ort_scan, "MAX_DEPTH", -1)
    with pytest.raises(BundleError, match="nested more than -1 deep"):
        check(content)
