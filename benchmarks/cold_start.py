"""How long does a cold `kvae sample --n 64` take, compared with the imports it needs, and where does the time go?

Runs whole processes, A and B in turn, so that a drift in the machine's speed slows both; prints medians and the median
ratio. Then it times the parts of the same command: a process runs the steps one by one, reading the clock after each.

    python benchmarks/cold_start.py
"""

import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import rounds

ROUNDS = 15
KVAE = str(Path(sys.executable).parent / "kvae")
PAIRS = [
    ([KVAE, "sample", "--n", "64"], [sys.executable, "-c", "import numpy, onnxruntime, PIL.Image"]),
    ([KVAE, "--help"], [sys.executable, "-c", "import click"]),
]
STEPS = {
    "import click": "import click",
    "import numpy": "import numpy",
    "import onnxruntime": "import onnxruntime",
    "import PIL": "import PIL.Image",
    "import kvae": "from kvae.files import output; from kvae.cli import main, sample; "
    "from kvae.bundle.locate import locate; from kvae.runtime.bundle import Bundle",
    "open the bundle: manifest, hashes, session": "bundle = Bundle.open(locate(None))",
    "draw and decode 64 images": "batches = list(bundle.sample_batches(64))",
    "write the PNG": "output.write(batches, 64, bundle.manifest.image_shape, Path('samples.png'))",
}
SCRIPT = "\n".join(
    [
        "from time import perf_counter; clock = [perf_counter()]; from pathlib import Path",
        *(f"{step}; clock.append(perf_counter())" for step in STEPS.values()),
        "print(*clock)",
    ]
)


ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
"""With Python's compiled files, which every installation has."""


def seconds(command: list[str], folder: str) -> float:
    """Wall-clock time of one process, from start to exit."""
    start = time.perf_counter()
    subprocess.run(command, cwd=folder, env=ENVIRONMENT, check=True, capture_output=True)
    return time.perf_counter() - start


def seconds_of_steps(folder: str) -> list[float]:
    """Times in a process that runs `STEPS`: until the interpreter runs, for each step, and for its exit."""
    start = time.perf_counter()  # Linux's monotonic clock, which both processes share
    command = [sys.executable, "-c", SCRIPT]
    printed = subprocess.run(command, cwd=folder, env=ENVIRONMENT, check=True, capture_output=True).stdout
    times = [start, *map(float, printed.split()), time.perf_counter()]
    return [after - before for before, after in zip(times, times[1:], strict=False)]


def main() -> None:
    print(rounds.machine())
    with tempfile.TemporaryDirectory() as folder:
        print("\n| command | time | against | time | ratio |\n|---|---|---|---|---|")
        for pair in PAIRS:
            for command in pair:
                seconds(command, folder)  # warm-up: puts the files in the page cache
            times = [[seconds(command, folder) for command in pair] for _ in range(ROUNDS)]
            ours, theirs = (statistics.median(column) for column in zip(*times, strict=True))
            ratio = statistics.median(a / b for a, b in times)
            names = [shlex.join([Path(command[0]).name, *command[1:]]) for command in pair]
            print(f"| `{names[0]}` | {ours:.3f} s | `{names[1]}` | {theirs:.3f} s | {ratio:.2f} |", flush=True)
        columns = zip(*(seconds_of_steps(folder) for _ in range(ROUNDS)), strict=True)
        print("\n| step of `kvae sample --n 64` | time, ms |\n|---|---|")
        for name, column in zip(["start the interpreter", *STEPS, "exit"], columns, strict=True):
            print(f"| {name} | {1e3 * statistics.median(column):.1f} |")


if __name__ == "__main__":
    main()
