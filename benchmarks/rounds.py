"""Compares timings: each contender runs in its own process, in turn, round after round.

If the machine's speed drifts, it slows all contenders of a round alike, so only the ratio within a round is reliable:
the median over the rounds is printed, with the smallest and the largest. A contender is a process that calls `serve`;
the others wait while it works.
"""

import contextlib
import datetime
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROUNDS = 5
PAUSE = 0.2
"""Seconds to wait before a round: the previous contender's threads may still be spinning, waiting for work."""
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # for the contenders without kvae: nothing is sent, or timed
PACKAGES = ("numpy", "tensorflow", "keras", "onnxruntime", "torch", "pythae")


@dataclass
class Contender:
    """One side of a comparison."""

    name: str
    command: list[str]
    """Arguments for this Python: a script that calls `serve`, and its arguments."""
    work: float = 1.0
    """The work in one round, in the units of the printed figure: e.g. 10,000 images."""
    setup: float = 0.0
    """Seconds from the process's start to its first round: imports, data, compilation, one unmeasured round."""
    seconds: list[float] = field(default_factory=list)
    """The time of each round."""

    @property
    def on_gpu(self) -> bool:
        """Whether it may see the machine's GPU, according to its name; all others run on the CPU."""
        return self.name.endswith("GPU")

    @property
    def rates(self) -> list[float]:
        """Units of work per second, one per round."""
        return [self.work / seconds for seconds in self.seconds]

    @property
    def rate(self) -> float:
        """Median of `rates`."""
        return statistics.median(self.rates)


def serve(round_of_work: Callable[[], object]) -> None:
    """In a contender's process: run one unmeasured round, then a timed one for each line on stdin."""
    round_of_work()
    answer("ready")
    while asked():
        start = time.perf_counter()
        round_of_work()
        answer(time.perf_counter() - start)


def answer(what: object) -> None:
    """Print what `serve` would, for a contender that it cannot call round by round: "ready", then a round's seconds.

    It bypasses a redirected `sys.stdout`: redirect it to silence libraries that print.
    """
    print(what, file=sys.__stdout__, flush=True)


def asked() -> bool:
    """In such a contender: wait until the next round is requested; False if there are no more rounds."""
    return bool(sys.stdin.readline())


def alternate(contenders: Sequence[Contender], rounds: int = ROUNDS) -> None:
    """Run the contenders' rounds in turn, filling in their `setup` and `seconds`."""
    workers = []
    try:
        for contender in contenders:
            start = time.perf_counter()
            environment = os.environ if contender.on_gpu else os.environ | {"CUDA_VISIBLE_DEVICES": ""}
            command = [sys.executable, *contender.command]
            worker = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
            )
            workers.append(worker)
            _read(worker, contender)
            contender.setup = time.perf_counter() - start
        for _ in range(rounds):
            for contender, worker in zip(contenders, workers, strict=True):
                assert worker.stdin is not None
                time.sleep(PAUSE)
                worker.stdin.write("go\n")
                worker.stdin.flush()
                contender.seconds.append(float(_read(worker, contender)))
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()


def _read(worker: "subprocess.Popen[str]", contender: Contender) -> str:
    assert worker.stdout is not None
    line = worker.stdout.readline()
    if not line:
        raise SystemExit(f"{contender.name} stopped: {' '.join(contender.command)}")
    return line


def ratios(one: Contender, other: Contender) -> list[float]:
    """How many times as fast `one` is as `other`, in each round."""
    return [mine / theirs for mine, theirs in zip(one.rates, other.rates, strict=True)]


def best(one: Contender, other: Contender) -> float:
    """The largest of `ratios`: a lost optimisation lowers every round, a busy machine only some of them."""
    return max(ratios(one, other))


def table(contenders: Sequence[Contender], unit: str) -> str:
    """A Markdown table: each contender's median rate, its setup, and how the first one compares with it."""
    first = contenders[0]
    lines = [f"| what | {unit} | set-up, s | {first.name} is ... times as fast |", "|---|---|---|---|"]
    for contender in contenders:
        quotients = ratios(first, contender)
        compared = f"{statistics.median(quotients):.2f} ({min(quotients):.2f} to {max(quotients):.2f})"
        lines.append(f"| {contender.name} | {contender.rate:,.0f} | {contender.setup:.1f} | {compared} |")
    return "\n".join(lines)


def gpu() -> str:
    """The name of the machine's NVIDIA GPU; empty if it has none."""
    try:
        command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\n")[0]
    except (OSError, subprocess.CalledProcessError):
        return ""


def succeeds(program: str) -> bool:
    """Whether a program ends without an error; it runs in its own process, so that its imports and memory are freed."""
    return not subprocess.run([sys.executable, "-c", program], capture_output=True).returncode


def machine() -> str:
    """One line on what the figures were measured on, and when."""
    cpu = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    versions = [f"Python {platform.python_version()}"]
    for name in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            versions.append(f"{name} {version(name)}")
    hardware = [f"{os.cpu_count()} cores of {cpu[1] if cpu else platform.machine()}", *filter(None, [gpu()])]
    return ", ".join([datetime.date.today().isoformat(), *hardware, *versions])


def check(measured: dict[str, float], baseline: Path, tolerance: float = 0.7) -> None:
    """Print the ratios as JSON; exit with an error if one is below `tolerance` times that in the file `baseline`."""
    print(json.dumps(measured, indent=2))
    expected = json.loads(baseline.read_text(encoding="utf-8"))
    fallen = [
        f"{name}: {value:.2f}, below {tolerance} x {expected[name]:.2f}"
        for name, value in measured.items()
        if value < tolerance * expected[name]
    ]
    if fallen:
        raise SystemExit("a ratio fell: " + "; ".join(fallen))
