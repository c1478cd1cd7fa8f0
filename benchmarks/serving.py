"""How much of the runtime's speed is left over HTTP: `kvae serve` under wrk, beside `Bundle.sample_batches`.

64 connections ask for images again and again, `--seconds` long; then as many images per second are counted as the bare
runtime makes in the same number of processes, one, with the same threads. Prints a Markdown table with the errors and
the service's peak memory. Needs wrk (apt-get install wrk) and the extra serve.

    python benchmarks/serving.py [MODEL] [--seconds 10] [--connections 64]
"""

import argparse
import re
import subprocess
import sys
import time
from pathlib import Path

import rounds

from kvae.bundle.locate import locate
from kvae.runtime import Bundle

PER_REQUEST = (16, 64, 256)
BARE = 262_144
"""Images that the bare runtime makes."""


def bare(model: str) -> float:
    """Images per second of the runtime alone."""
    bundle = Bundle.open(locate(model), "cpu")
    for _ in bundle.sample_batches(4096):
        pass
    start = time.perf_counter()
    for _ in bundle.sample_batches(BARE):
        pass
    return BARE / (time.perf_counter() - start)


def under_load(address: str, n: int, format: str, connections: int, seconds: int) -> tuple[float, str]:
    """Images per second over HTTP, and what went wrong."""
    url = f"{address}/v1/sample?n={n}&format={format}"
    command = ["wrk", "-t", "1", "-c", str(connections), "-d", f"{seconds}s", "--timeout", "30s", url]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1])
    wrong = [line.strip() for line in text.splitlines() if "Non-2xx" in line or "Socket errors" in line]
    return n * rate, "; ".join(wrong) or "none"


def peak(process: int) -> float:
    """Peak memory of a process in MiB."""
    status = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default="fashion_mnist_small")
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--connections", type=int, default=64)
    given = parser.parse_args()
    print(rounds.machine())
    command = [sys.executable, "-m", "kvae", "serve", given.model, "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as service:
        address = service.stdout.readline().strip()
        alone = bare(given.model)
        print(f"\n| images per request | format | images/s | of the runtime's {alone:,.0f} | errors |")
        print("|---|---|---|---|---|")
        for n in PER_REQUEST:
            for format in ("npy", "png"):
                found, wrong = under_load(address, n, format, given.connections, given.seconds)
                print(f"| {n} | {format} | {found:,.0f} | {found / alone:.2f} | {wrong} |", flush=True)
        print(f"\npeak memory of the service: {peak(service.pid):,.0f} MiB")
        service.terminate()


if __name__ == "__main__":
    main()
