"""How long does a cold `kvae sample --n 64` take, beside the imports that it cannot do without?

Whole processes, A and B in turn, so that a machine whose speed drifts slows both; prints medians and the median ratio.

    python benchmarks/cold_start.py
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROUNDS = 15
KVAE = str(Path(sys.executable).parent / "kvae")
PAIRS = [
    ([KVAE, "sample", "--n", "64"], [sys.executable, "-c", "import numpy, onnxruntime, PIL.Image"]),
    ([KVAE, "--help"], [sys.executable, "-c", "import click"]),
]


def seconds(command: list[str], folder: str) -> float:
    """Wall-clock time of one process, from start to exit."""
    start = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return time.perf_counter() - start


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for pair in PAIRS:
            for command in pair:
                seconds(command, folder)  # warm-up: the files are in the page cache from here on
            times = [[seconds(command, folder) for command in pair] for _ in range(ROUNDS)]
            ours, theirs = (statistics.median(column) for column in zip(*times, strict=True))
            ratio = statistics.median(a / b for a, b in times)
            names = [" ".join([Path(command[0]).name, *command[1:]]) for command in pair]
            print(f"{names[0]}: {ours:.3f} s   {names[1]}: {theirs:.3f} s   ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
