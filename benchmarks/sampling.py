"""How fast is sampling, compared with Keras `predict`, PyTorch, a bare onnxruntime loop and only the matrix products?

The decoders are a dense one, 16-512-784, and the convolutional one, each trained for an epoch. kvae's time includes
drawing the codes; all others are given theirs, work in batches of 256, and discard their results. What is not installed
is left out; if onnxruntime has CUDA, kvae samples there too. Finally, `kvae sample` and the simplest script that does
the same each write a million images to a file.

    python benchmarks/sampling.py
    python benchmarks/sampling.py --quick    # only bulk sampling from the dense decoder, checked against baseline.json

`--rounds N` sets how often the contenders take turns.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import rounds

HERE = Path(__file__).parent
KVAE = str(Path(sys.executable).parent / "kvae")
BATCH_SIZE = 256
CALLS_OF = (1, 64, 4_096)
"""Images per call when calls are timed one by one."""
BULK = {"dense": 100_000, "conv": 10_000}
QUICK_ROUNDS = 3
OPEN_ON_GPU = "from kvae.runtime.bundle import Bundle; Bundle.open({!r}, device='cuda')"
MILLION = 1_000_000
MILLION_ROUNDS = {"dense": 3, "conv": 1}
LONG_ENOUGH = 1.0
"""The least total time of the calls in one round, in seconds."""

Call = Callable[[], object]


def bundle_sample(bundle: Path, n: int) -> Call:
    from kvae.runtime.bundle import Bundle

    opened = Bundle.open(bundle, device="cpu")
    return lambda: opened.sample(n)


def bundle_sample_batches(bundle: Path, n: int, device: str = "cpu") -> Call:
    from kvae.runtime.bundle import Bundle

    opened = Bundle.open(bundle, device=device)
    return lambda: deque(opened.sample_batches(n), maxlen=0)


def session_run(bundle: Path, n: int) -> Call:
    session, codes = _session(bundle), _codes(n)
    return lambda: deque((session.run(["mean"], {"z": batch}) for batch in codes), maxlen=0)


def keras_predict(bundle: Path, n: int) -> Call:
    from kvae.cli.quiet import import_tensorflow_quietly

    import_tensorflow_quietly()
    import keras
    import numpy as np

    from kvae.bundle.manifest import Manifest
    from kvae.config import ModelConfig
    from kvae.model import networks

    architecture = Manifest.read(bundle).training["model"]["architecture"]
    decoder = networks.build_decoder(ModelConfig(architecture=architecture), (28, 28, 1))

    class Mean(keras.Model):  # `predict` returns tensors, not distributions
        def call(self, z: Any) -> Any:
            return decoder(z).mean()

    mean, z = Mean(), np.concatenate(_codes(n))
    return lambda: mean.predict(z, batch_size=BATCH_SIZE, verbose=0)


def pytorch_eager(bundle: Path, n: int) -> Call:
    import torch
    from torch import nn

    torch.set_num_threads(os.cpu_count() or 1)
    torch.set_grad_enabled(False)
    decoder = nn.Sequential(nn.Linear(16, 512), nn.ReLU(), nn.Linear(512, 784), nn.Sigmoid())
    codes = [torch.from_numpy(batch) for batch in _codes(n)]
    return lambda: deque(map(decoder, codes), maxlen=0)


def matrix_products(bundle: Path, n: int) -> Call:
    import numpy as np

    rng = np.random.default_rng(0)
    first, second = (rng.standard_normal(shape, np.float32) for shape in ((16, 512), (512, 784)))
    hidden, images = (np.empty((min(n, BATCH_SIZE), width), np.float32) for width in (512, 784))

    def call() -> None:
        for batch in codes:
            np.matmul(batch, first, out=hidden[: len(batch)])
            np.matmul(hidden[: len(batch)], second, out=images[: len(batch)])

    codes = _codes(n)
    return call


def _codes(n: int) -> list[Any]:
    import numpy as np

    z = np.random.default_rng(0).standard_normal((n, 16), np.float32)
    return [z[first : first + BATCH_SIZE] for first in range(0, n, BATCH_SIZE)]


def _session(bundle: Path) -> Any:
    import onnxruntime

    return onnxruntime.InferenceSession(bundle / "decoder.onnx", providers=["CPUExecutionProvider"])


CONTENDERS = {
    "Bundle.sample": bundle_sample,
    "Bundle.sample_batches": bundle_sample_batches,
    "Bundle.sample_batches, GPU": partial(bundle_sample_batches, device="cuda"),
    "session.run": session_run,
    "Keras predict": keras_predict,
    "PyTorch eager": pytorch_eager,
    "matrix products": matrix_products,
}
OTHERS = {
    "dense": ["session.run", "Keras predict", "PyTorch eager", "matrix products"],
    "conv": ["session.run", "Keras predict"],
}


def serve(name: str, bundle: str, n: str, record: str) -> None:
    """A contender's process: each round makes calls for a while, and adds a line with their seconds to `record`."""
    call = CONTENDERS[name](Path(bundle), int(n))
    _seconds_of_calls(call)
    rounds.answer("ready")
    while rounds.asked():
        seconds = _seconds_of_calls(call)
        with open(record, "a", encoding="utf-8") as file:
            file.write(json.dumps(seconds) + "\n")
        rounds.answer(statistics.mean(seconds))


def _seconds_of_calls(call: Call) -> list[float]:
    seconds: list[float] = []
    end = time.perf_counter() + LONG_ENOUGH
    while (start := time.perf_counter()) < end:
        call()
        seconds.append(time.perf_counter() - start)
    return seconds


def save(bundle: str, n: str, out: str) -> None:
    """What a user would write without kvae: `n` images, with `session.run` and `numpy.save`."""
    import numpy as np

    session = _session(Path(bundle))
    images = np.empty((int(n), 28, 28, 1), np.float32)
    z = np.random.default_rng(0).standard_normal((len(images), 16), np.float32)
    for first in range(0, len(images), BATCH_SIZE):
        images[first : first + BATCH_SIZE] = session.run(["mean"], {"z": z[first : first + BATCH_SIZE]})[0]
    np.save(out, images)


def compete(names: Sequence[str], bundle: Path, n: int, count: int) -> tuple[list[rounds.Contender], list[list[float]]]:
    """The contenders after their rounds of calls for `n` images, and each one's seconds per call, sorted."""
    with tempfile.TemporaryDirectory() as folder:
        records = [Path(folder, str(index)) for index in range(len(names))]
        contenders = [
            rounds.Contender(name, [__file__, "serve", name, str(bundle), str(n), str(record)], work=n)
            for name, record in zip(names, records, strict=True)
        ]
        rounds.alternate(contenders, count)
        lines = [record.read_text(encoding="utf-8").splitlines() for record in records]
    return contenders, [sorted(second for line in own for second in json.loads(line)) for own in lines]


def latency_rows(contenders: Sequence[rounds.Contender], calls: Sequence[Sequence[float]]) -> str:
    """Rows of Markdown, one per contender."""
    lines = []
    for contender, seconds in zip(contenders, calls, strict=True):
        p50, p99 = (1e3 * seconds[math.ceil(share * len(seconds)) - 1] for share in (0.5, 0.99))
        quotients = rounds.ratios(contenders[0], contender)
        compared = f"{statistics.median(quotients):.2f} ({min(quotients):.2f} to {max(quotients):.2f})"
        lines.append(
            f"| {contender.work:,} | {contender.name} | {contender.rate:,.0f} | {p50:.3g} | {p99:.3g} | "
            f"{len(seconds):,} | {compared} |"
        )
    return "\n".join(lines)


def million(bundle: Path, count: int) -> str:
    """A Markdown table: writing a million images to a file, as whole processes in turn."""
    n = str(MILLION)
    commands = {
        "kvae sample": [KVAE, "sample", "--model", str(bundle), "--n", n, "--device", "cpu", "--out"],
        "session.run, numpy.save": [sys.executable, __file__, "save", str(bundle), n],
    }
    lines = ["| what | seconds | images/s | file, bytes | peak memory, MiB |", "|---|---|---|---|---|"]
    found: dict[str, list[tuple[float, int, float]]] = {name: [] for name in commands}
    with tempfile.TemporaryDirectory(dir=".") as folder:  # not in /tmp, which may be in memory
        out = Path(folder, "x.npy").resolve()
        for _ in range(count):
            for name, command in commands.items():
                seconds, peak = process([*command, str(out)])
                found[name].append((seconds, out.stat().st_size, peak))
                out.unlink()
    for name, runs in found.items():
        seconds, size, peak = (statistics.median(column) for column in zip(*runs, strict=True))
        lines.append(f"| {name} | {seconds:.1f} | {MILLION / seconds:,.0f} | {size:,.0f} | {peak:,.0f} |")
    return "\n".join(lines)


def process(command: Sequence[str]) -> tuple[float, float]:
    """Seconds and peak memory in MiB of a whole process."""
    start = time.perf_counter()
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    # Linux counts this process's memory as the child's until the child's own program starts, so this process must be
    # small and not import numpy.
    _, status, usage = os.wait4(running.pid, 0)
    running.returncode = os.waitstatus_to_exitcode(status)
    if running.returncode:
        raise SystemExit(f"failed: {' '.join(command)}")
    return time.perf_counter() - start, usage.ru_maxrss / 1024


def quick(bundle: Path, count: int) -> None:
    """Only bulk sampling from the dense decoder, without optional packages; exits with an error if a ratio fell."""
    names = ["Bundle.sample_batches", "session.run", "matrix products", "Keras predict"]
    (ours, *others), _ = compete(names, bundle, BULK["dense"], count)
    print(rounds.table([ours, *others], "images/s"))
    # Beside the same arithmetic a slower kvae shows on every processor. The distance to Keras also depends on what one
    # of Keras's calls costs there: 2.8 to 4.3 times, with kvae at 0.9 to 1.0 of the matrix products in each case.
    ratios = {f"sampling/dense/{other.name}": rounds.best(ours, other) for other in others if other.name in names[1:3]}
    rounds.check(ratios, HERE / "baseline.json")


def full(decoder: str, bundle: Path, count: int) -> None:
    """Print all tables for one decoder, with `count` rounds."""
    others = [name for name in OTHERS[decoder] if name != "PyTorch eager" or find_spec("torch")]
    print(f"\n### The {decoder} decoder, calls one by one\n")
    print("| images per call | what | images/s | p50, ms | p99, ms | calls | Bundle.sample is ... times as fast |")
    print("|---|---|---|---|---|---|---|")
    for n in CALLS_OF:
        print(latency_rows(*compete(["Bundle.sample", *others], bundle, n, count)), flush=True)
    print(f"\n### The {decoder} decoder, {BULK[decoder]:,} images per call\n")
    if rounds.gpu() and rounds.succeeds(OPEN_ON_GPU.format(str(bundle))):
        others.append("Bundle.sample_batches, GPU")
    contenders, _ = compete(["Bundle.sample_batches", *others], bundle, BULK[decoder], count)
    print(rounds.table(contenders, "images/s"))
    print(f"\n### The {decoder} decoder, a million images into a file\n", flush=True)
    print(million(bundle, min(count, MILLION_ROUNDS[decoder])), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=rounds.ROUNDS)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    print(rounds.machine())
    with tempfile.TemporaryDirectory() as folder:
        if options.quick:
            quick(trained("mlp", Path(folder)), min(options.rounds, QUICK_ROUNDS))
            return
        for decoder, architecture in (("dense", "mlp"), ("conv", "conv")):
            full(decoder, trained(architecture, Path(folder)), options.rounds)


def trained(architecture: str, folder: Path) -> Path:
    """The bundle of a short training."""
    run = folder / architecture
    train = [KVAE, "train", "--dataset", "fashion_mnist_mini", "--architecture", architecture, "--epochs", "1", "--out"]
    subprocess.run([*train, str(run)], check=True, stdout=subprocess.DEVNULL)
    return run / "bundle"


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        serve(*sys.argv[2:])
    elif sys.argv[1:2] == ["save"]:
        save(*sys.argv[2:])
    else:
        main()
