"""Providers that onnxruntime lists: those that work, and those that it silently replaces with the CPU."""

import os
from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest

from kvae.checks import providers
from kvae.checks.providers import CPU, FAILS, UNUSED, WORKS

CUDA = "CUDAExecutionProvider"
FAILED_TO_LOAD = (
    b"\x1b[1;31m2026-11-26 11:25:24 [E:onnxruntime:Default, provider_bridge_ort.cc:2458 operator()] Failed to load "
    b"library libonnxruntime_providers_cuda.so with error: libcublasLt.so.13: cannot open shared object file: No such "
    b"file or directory\n\x1b[m\n\x1b[0;93m[W:onnxruntime:Default] Failed to create CUDAExecutionProvider.\x1b[m\n"
)


class Session:
    """A session on the CPU that claims to be on `name`, and changes the results."""

    def __init__(self, graph, options, name, change=lambda image: image, ran_by=None):
        self._session = onnxruntime.InferenceSession(graph, options, providers=[CPU])
        self._name, self._change, self._ran_by = name, change, ran_by or name

    def get_providers(self):
        return [self._name, CPU]

    def get_inputs(self):
        return self._session.get_inputs()

    def run(self, names, values):
        return [self._change(image) for image in self._session.run(names, values)]

    def end_profiling(self):
        path = self._session.end_profiling()
        with open(path) as file:
            text = file.read().replace(CPU, self._ran_by)
        with open(path, "w") as file:
            file.write(text)
        return path


def fake(start):
    """An onnxruntime with CUDA listed first, whose sessions there are made by `start(graph, options)`."""

    def make(graph, options, providers):
        (name, _) = providers[0]
        return start(graph, options) if name == CUDA else onnxruntime.InferenceSession(graph, options, providers=[CPU])

    return SimpleNamespace(
        get_available_providers=lambda: [CUDA, CPU],
        SessionOptions=onnxruntime.SessionOptions,
        InferenceSession=make,
    )


def tried_on_cuda(start, bundle_path):
    first, second = providers.try_all(fake(start), bundle_path / "decoder.onnx")
    assert (first.name, first.status, second.name) == (CPU, WORKS, CUDA)
    return second


def test_the_real_cpu_provider_works(bundle_path):
    tried = {provider.name: provider for provider in providers.try_all(onnxruntime, bundle_path / "decoder.onnx")}
    assert tried[CPU].status == WORKS
    assert set(tried) == set(onnxruntime.get_available_providers())


def test_a_provider_whose_session_fell_back_fails_and_the_log_says_why(bundle_path, capfd):
    def start(graph, options):
        os.write(2, FAILED_TO_LOAD)
        print("EP Error, falling back")
        return onnxruntime.InferenceSession(graph, options, providers=[CPU])

    provider = tried_on_cuda(start, bundle_path)
    assert provider.status == FAILS
    assert provider.detail == (
        "does not start: libcublasLt.so.13: cannot open shared object file: No such file or directory"
    )
    assert capfd.readouterr() == ("", "")


def test_a_provider_whose_session_fell_back_silently_fails(bundle_path):
    provider = tried_on_cuda(
        lambda graph, options: onnxruntime.InferenceSession(graph, options, providers=[CPU]), bundle_path
    )
    assert (provider.status, provider.detail) == (FAILS, "does not start: onnxruntime does not say why")


def test_a_provider_that_runs_the_graph_works(bundle_path):
    provider = tried_on_cuda(lambda graph, options: Session(graph, options, CUDA), bundle_path)
    assert provider.status == WORKS
    assert provider.detail.startswith("works: runs ")


def test_a_provider_that_runs_nothing_is_unused(bundle_path):
    provider = tried_on_cuda(lambda graph, options: Session(graph, options, CUDA, ran_by=CPU), bundle_path)
    assert provider.status == UNUSED


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda image: np.clip(image + 0.1, 0, 1), "is 0.1 off the CPU's pixels"),
        (lambda image: image + 2, "decodes pixels in"),
        (lambda image: image * np.nan, "decodes pixels in"),
    ],
)
def test_a_provider_with_wrong_results_fails(change, message, bundle_path):
    provider = tried_on_cuda(lambda graph, options: Session(graph, options, CUDA, change), bundle_path)
    assert provider.status == FAILS
    assert message in provider.detail


def test_a_provider_that_raises_fails_and_the_others_are_tried(bundle_path):
    def start(graph, options):
        raise RuntimeError("no\ndevice")

    provider = tried_on_cuda(start, bundle_path)
    assert (provider.status, provider.detail) == (FAILS, "fails: no device")
