"""Finds which of onnxruntime's execution providers actually work: each has to decode an image.

onnxruntime lists the providers that a wheel was built with, and silently falls back to the CPU if one of them does not
start. So a session is opened on each and asked where it runs, and its profile tells which provider ran each operator.
"""

import contextlib
import io
import json
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kvae.files.stderr import redirected
from kvae.files.text import printable

CPU = "CPUExecutionProvider"
WORKS, UNUSED, FAILS = "works", "unused", "fails"
AGREEMENT = 0.01
"""How far pixels may be from the CPU's, in [0, 1]: some providers compute in half precision."""


@dataclass(frozen=True)
class Provider:
    """The result of trying one provider."""

    name: str
    status: str
    """`WORKS`; `UNUSED` if it starts, but runs no operator of the graph; or `FAILS`."""
    detail: str


def try_all(onnxruntime: ModuleType, graph: Path) -> list[Provider]:
    """Decode one image on each provider that onnxruntime lists, the CPU first.

    Args:
        onnxruntime: the imported module.
        graph: a bundle's decoder.
    """
    names = sorted(onnxruntime.get_available_providers(), key=lambda name: name != CPU)
    image: NDArray[np.float32] | None = None
    tried = []
    for name in names:
        provider, found = _try(onnxruntime, name, graph, image)
        tried.append(provider)
        image = found if name == CPU else image
    return tried


def _try(
    onnxruntime: ModuleType, name: str, graph: Path, expected: NDArray[np.float32] | None
) -> tuple[Provider, NDArray[np.float32] | None]:
    """The result of trying one provider, and the image that it decodes; None if it does not get that far."""
    with tempfile.TemporaryDirectory() as scratch, _everything_said() as said:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # one image needs no more
        options.log_severity_level = 2
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(scratch) / "profile")
        providers: list[Any] = [(name, {"use_tf32": "0"} if name.startswith("CUDA") else {})]
        try:
            session = onnxruntime.InferenceSession(str(graph), options, providers=providers)
            if session.get_providers()[0] != name:
                session.end_profiling()
                return Provider(name, FAILS, f"does not start: {_reason(said())}"), None
            image = session.run(["mean"], {end.name: _zeros(end) for end in session.get_inputs()})[0]
            ran = _operators_by_provider(Path(session.end_profiling()))
        except Exception as error:  # onnxruntime's exceptions have no narrower common base
            return Provider(name, FAILS, f"fails: {printable(error, 160)}"), None
    own, all_of_them = ran[name], sum(ran.values())
    if not (image.min() >= 0.0 and image.max() <= 1.0):
        return Provider(name, FAILS, f"decodes pixels in [{image.min():g}, {image.max():g}]"), None
    if expected is not None and not np.max(np.abs(image - expected)) <= AGREEMENT:
        return Provider(name, FAILS, f"is {np.max(np.abs(image - expected)):.2g} off the CPU's pixels"), None
    if not own:
        return Provider(name, UNUSED, "starts, but runs no part of a decoder"), image
    rest = "" if own == all_of_them else ", the others on the CPU"
    return Provider(name, WORKS, f"works: runs {own} of {all_of_them} operators{rest}"), image


def _zeros(end: Any) -> NDArray[Any]:
    """One row of an input: a code of zeros, or the label 0."""
    return np.zeros((1, *end.shape[1:]), np.int64 if end.type == "tensor(int64)" else np.float32)


def _operators_by_provider(profile: Path) -> Counter[str]:
    events = json.loads(profile.read_text(encoding="utf-8"))
    return Counter(
        event["args"]["provider"] for event in events if event.get("cat") == "Node" and "provider" in event["args"]
    )


@contextlib.contextmanager
def _everything_said() -> Iterator[Callable[[], str]]:
    """Capture onnxruntime's log, and yield a function that returns it.

    The log is written to file descriptor 2 from C++; anything else that onnxruntime prints is dropped.
    """
    with tempfile.TemporaryFile() as log, contextlib.redirect_stdout(io.StringIO()), redirected(log):

        def said() -> str:
            log.seek(0)
            return log.read().decode(errors="replace")

        yield said


def _reason(log: str) -> str:
    """Why a provider did not start, from onnxruntime's log: the missing library, or else the last line."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", log)
    missing = re.search(r"with error: (.*)", text)
    lines = [line for line in text.splitlines() if line.strip()]
    return printable(missing[1] if missing else lines[-1] if lines else "onnxruntime does not say why", 160)
