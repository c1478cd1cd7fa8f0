"""onnxruntime's sessions: of a graph that was checked, on the requested device, with the contract's inputs and
outputs."""

import ctypes
import os
import threading
import weakref
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any

from kvae.bundle import onnx_scan
from kvae.errors import BundleError, KvaeError
from kvae.files.in_memory import InMemory
from kvae.files.text import printable
from kvae.machine import cores

Graph = Path | InMemory
"""The file of a graph."""
DEVICES = ("auto", "cpu", "cuda")
TYPES = {"float32": "tensor(float)", "int64": "tensor(int64)"}
"""onnxruntime's names of the contract's types."""
ROLES = {"loc": "encoder", "z": "prior", "log_prob": "prior_density"}
"""What a graph is according to its first output; any other is a decoder."""


class Sessions:
    """Sessions by any key, each started once, whichever thread asks for it first.

    A session does not survive a fork, since the threads that it waits for are not copied: a forked process starts its
    own.
    """

    def __init__(self) -> None:
        self.started: dict[Hashable, Any] = {}
        self._starting = threading.Lock()
        _EVERY.add(self)

    def get(self, key: Hashable, start: Callable[[], Any]) -> Any:
        """The session of a key, which `start` makes if there is none yet."""
        with self._starting:
            if key not in self.started:
                self.started[key] = start()
            return self.started[key]

    def _forget(self) -> None:
        # Never freed, not even when the interpreter ends: to free a session is to wait for its threads.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self.started))
        self.started, self._starting = {}, threading.Lock()  # another thread may have held the lock


_EVERY: "weakref.WeakSet[Sessions]" = weakref.WeakSet()


def _after_fork() -> None:
    for sessions in list(_EVERY):
        sessions._forget()


if hasattr(os, "register_at_fork"):  # there is no fork on Windows
    os.register_at_fork(after_in_child=_after_fork)


def load_onnxruntime() -> Any:
    """The module onnxruntime.

    Raises:
        KvaeError: it is not installed; the message says how to install it.
    """
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        if error.name != "onnxruntime":
            raise
        from kvae.machine import extras  # needed only for this error

        raise KvaeError(
            f"onnxruntime is not installed. Install it with: {extras.command('cpu')} "
            f"(or, for CUDA as well: {extras.command('gpu')})"
        ) from None
    return onnxruntime


def check_tensors(path: Graph, session: Any, tensors: dict[str, Any]) -> None:
    """Raise BundleError if a session's inputs and outputs are not `tensors`, those of the graph in its manifest."""
    for end, found in (("inputs", session.get_inputs()), ("outputs", session.get_outputs())):
        expected = [(tensor["name"], TYPES[tensor["dtype"]], tensor["shape"]) for tensor in tensors[end]]
        if [(tensor.name, tensor.type, tensor.shape) for tensor in found] != expected:
            names = printable(", ".join(f"{tensor.name} {tensor.shape}" for tensor in found))
            raise BundleError(f"{path} does not fit its manifest: its {end} are {names}. Export it again.")


def role(session: Any) -> str:
    """What a lone graph is, such as "decoder", according to its outputs."""
    ends = session.get_outputs()
    return ROLES.get(ends[0].name, "decoder") if ends else "decoder"


def start_session(path: Graph, device: str, threads: int) -> Any:
    """An onnxruntime session of a graph on the device; arguments and errors as for `Bundle.open`.

    onnxruntime never reads a graph that `onnx_scan.check` refuses.
    """
    if isinstance(path, InMemory):
        onnx_scan.check_held(path)
    else:
        onnx_scan.check(path)
    onnxruntime = load_onnxruntime()
    threads = threads or cores.threads()  # onnxruntime itself would count the cores of the whole machine
    # onnxruntime falls back to the CPU silently, so the provider is read back from the session.
    if device == "cpu":
        return _session_on(onnxruntime, path, "CPUExecutionProvider", threads)
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        try:
            session = _session_on(onnxruntime, path, "CUDAExecutionProvider", threads)
        except BundleError:  # CUDA's fault, unless the graph cannot be loaded on the CPU either
            session = _session_on(onnxruntime, path, "CPUExecutionProvider", threads)
        if device == "auto" or session.get_providers()[0] == "CUDAExecutionProvider":
            return session
        raise KvaeError(
            "device cuda: onnxruntime-gpu is installed, but its CUDA provider does not start. Check the driver and the "
            "CUDA and cuDNN libraries that it needs, or use --device cpu."
        )
    if device == "auto":
        return _session_on(onnxruntime, path, "CPUExecutionProvider", threads)
    raise KvaeError(
        "device cuda: this onnxruntime has no CUDA provider. Its CPU and GPU wheels overwrite each other: run "
        "pip uninstall onnxruntime onnxruntime-gpu, then pip install onnxruntime-gpu, or use --device cpu."
    )


def _session_on(onnxruntime: Any, path: Graph, provider: str, threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4  # kvae reports a failing provider itself, in one line
    providers: list[Any] = [provider]
    if provider == "CUDAExecutionProvider":
        # With TF32, results would be off by 1e-3 from the CPU's (onnxruntime#19288).
        providers = [(provider, {"use_tf32": "0"}), "CPUExecutionProvider"]
    # Set explicitly, not guessed from the name, so that onnxruntime reads the file in the format it was checked as.
    options.add_session_config_entry("session.load_model_format", "ORT" if onnx_scan.is_ort(path) else "ONNX")
    try:
        # Without `enable_fallback`, an error is only raised; with it, it is printed on stdout too, and tried again.
        session = onnxruntime.InferenceSession(
            path.content if isinstance(path, InMemory) else str(path), options, providers=providers, enable_fallback=0
        )
        # Read here, because text in a graph that is not UTF-8 fails only when it is read.
        _ = session.get_modelmeta().custom_metadata_map
        _ = [(end.name, end.type, end.shape) for end in (*session.get_inputs(), *session.get_outputs())]
        return session
    except Exception as error:  # onnxruntime's exceptions share no narrower base
        if threads > 1 and "thread" in str(error):  # this process may start no more threads
            return _session_on(onnxruntime, path, provider, 1)
        reason = str(error).replace(f"Load model from {path} failed:", "")
        raise BundleError(f"onnxruntime cannot load {path}: {printable(reason)}") from None
