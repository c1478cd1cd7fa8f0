"""Measure the figures of docs/results.md again: a list of commands with their cost, run one after the other.

    python scripts/results.py             # whatever is not done yet (`make results`)
    python scripts/results.py NAME ...    # these alone (`make results ONLY=NAME`)
    python scripts/results.py --list      # what is done, and what is left with its cost

Runs go to runs/results; what each command prints, warnings included, is kept in runs/results/printed, headed by the
command, the commit and the date. A command whose print is there is done. So this can be stopped at any moment and
called again: it goes on with the command that it was at, and a training with its last checkpoint. To measure something
again, remove its print and its run. Nothing is written to docs/: a person puts the figures there, who reads the
warnings beside them.
"""

import argparse
import datetime
import os
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

RUNS = Path("runs/results")
PRINTED = RUNS / "printed"
INTERRUPTED = 130


@dataclass(frozen=True)
class Result:
    """Figures that are measured together."""

    name: str
    minutes: float
    """About how long it takes on two cores: an estimate to plan by, after the times in docs/results.md."""
    sections: tuple[str, ...]
    """The headings of docs/results.md whose figures these are."""
    commands: tuple[str, ...]
    """In their order. A training whose folder is a run already goes on with it."""


BITS, EIGHT, GREY = "Binarised images", "8-bit images", "Grey intensities, a surrogate"
THEORY, SPEED, PARITY = "Theory and measurement", "Speed", "Parity of onnxruntime with Keras"
PUBLISHED = "kvae train --recipe fashion_mnist_vae"
PARTS = {
    "flow": "--prior flow",
    "vamp": "--prior vamp --prior-components 100",
    "iwae": "--objective iwae --num-draws 5",
}
"""What is exchanged in the published network."""
DENSE_GREY = "kvae train --dataset fashion_mnist --binarize none --architecture mlp --out runs/results/grey-mlp"
GREY_DENSE = (
    "kvae train --dataset fashion_mnist --binarize none --architecture mlp --latent-dim 16 --hidden-units 512 "
    "--out runs/results/grey-dense"
)
READERS = (
    "manifest", "onnx", "ort", "bundle", "verify", "idx", "npz", "images", "data", "records", "zip", "run", "cache",
    "lock", "checkpoint",
)  # fmt: skip

RESULTS = [
    Result("mlp", 4, (BITS,), (
        "kvae train --dataset fashion_mnist --architecture mlp --out runs/results/mlp",
        "kvae evaluate runs/results/mlp",
        "kvae evaluate runs/results/mlp --test-bits published",
        "kvae compare --preset why-kl --out runs/results/why-kl-mini",
    )),
    Result("published-network", 100, (BITS,), (
        f"{PUBLISHED} --out runs/results/published",
        "kvae evaluate runs/results/published",
        "kvae evaluate runs/results/published --test-bits published",
        "kvae evaluate runs/results/published --importance-samples 5000 --proposal posterior",
        "kvae evaluate runs/results/published --importance-samples 5000 --proposal posterior --test-bits published",
    )),
    Result("ladder", 200, (BITS,), (
        "kvae train --recipe fashion_mnist_ladder --epochs 50 --out runs/results/ladder",
        "kvae evaluate runs/results/ladder",
        "kvae evaluate runs/results/ladder --test-bits published",
    )),
    Result("8-bit", 4, (EIGHT,), (
        "kvae train --dataset fashion_mnist --architecture mlp --likelihood discretized_logistic "
        "--out runs/results/8-bit",
        "kvae evaluate runs/results/8-bit --importance-samples 50 --proposal posterior",
    )),
    Result("grey", 8, (GREY, PARITY), (
        "kvae train --dataset fashion_mnist --binarize none --out runs/results/grey",
        GREY_DENSE,
    )),
    Result("priors", 250, ("Priors and objectives on the published network", "Quality of samples"), (
        f"{PUBLISHED} --out runs/results/published",
        *(command for name, part in PARTS.items() for command in (
            f"{PUBLISHED} {part} --out runs/results/{name}",
            f"kvae evaluate runs/results/{name} --against runs/results/published",
            f"kvae evaluate runs/results/{name} --against runs/results/published --test-bits published",
            f"kvae evaluate runs/results/{name} --against runs/results/published --samples 10000",
        )),
    )),
    Result("fitted-priors", 35, ("A prior fitted afterwards",), (
        "kvae train --dataset fashion_mnist --architecture conv --out runs/results/conv",
        "kvae evaluate runs/results/conv",
        "kvae sample --model runs/results/conv --n 200 --seed 7 --out runs/results/conv.png",
        *(command for prior in ("mixture", "flow") for command in (
            f"kvae fit-prior runs/results/conv --prior {prior} --out runs/results/fitted-{prior}",
            f"kvae evaluate runs/results/fitted-{prior} --against runs/results/conv",
            f"kvae sample --model runs/results/fitted-{prior} --n 200 --seed 7 --out runs/results/fitted-{prior}.png",
        )),
    )),
    Result("interpolation", 8, ("Interpolating",), (
        "kvae train --dataset fashion_mnist --architecture mlp --likelihood discretized_logistic "
        "--out runs/results/8-bit",
        "python benchmarks/interpolation.py fashion_mnist_small runs/results/8-bit",
    )),
    Result("odd", 20, ("Telling odd images from normal ones",), ("python benchmarks/odd.py --out runs/results/odd",)),
    Result("samples", 20, ("Quality of samples",), (
        "python scripts/make_fashion_mnist_features.py",
        "kvae evaluate exported/fashion_mnist --samples 10000",
        "kvae evaluate exported/fashion_mnist_small --samples 10000",
        "kvae train --dataset fashion_mnist --binarize none --out runs/results/grey",
        "kvae evaluate runs/results/grey --samples 10000",
    )),
    Result("shipped", 20, (GREY,), (
        "kvae train --recipe fashion_mnist_vae --binarize none --conditional --prior mixture --prior-components 50 "
        "--epochs 100 --kl-warmup-epochs 10 --out runs/results/shipped-trained",
        "kvae fit-prior runs/results/shipped-trained --prior mixture --prior-components 150 --epochs 30 "
        "--out runs/results/shipped",
        "kvae train --dataset fashion_mnist --binarize none --architecture mlp --hidden-units 256 --latent-dim 12 "
        "--prior mixture --epochs 60 --out runs/results/shipped-small",
    )),
    Result("inpainting", 10, ("Inpainting",), (
        "python benchmarks/inpainting.py --images 0 --picture docs/inpainting.png",
        "python benchmarks/inpainting.py --images 50 --steps 100 --burn-in 50",
    )),
    Result("theory", 5, (THEORY,), ("python -m pytest -q tests/model/test_theory.py",)),
    Result("why-kl", 40, (THEORY,), (
        "kvae compare --preset why-kl --dataset fashion_mnist --epochs 20 --out runs/results/why-kl",
        "kvae train --dataset fashion_mnist --architecture mlp --regularizer cross-entropy "
        "--out runs/results/cross-entropy",
        "kvae evaluate runs/results/cross-entropy",
        "kvae evaluate runs/results/cross-entropy --proposal posterior",
    )),
    Result("beta", 10, (THEORY,), (
        "kvae compare --vary beta=0.25,0.5,1,2,4 --dataset fashion_mnist_mini --architecture mlp --epochs 60 "
        "--out runs/results/beta",
    )),
    Result("training-speed", 15, (SPEED,), ("python benchmarks/training.py",)),
    Result("time-to-quality", 6, (SPEED,), ("python benchmarks/time_to_quality.py",)),
    Result("sampling-speed", 15, (SPEED,), ("python benchmarks/sampling.py",)),
    Result("precisions", 12, ("Precisions",), (
        DENSE_GREY,
        "python benchmarks/precision.py runs/results/grey-mlp/bundle fashion_mnist",
    )),
    Result("explorer", 3, ("The explorer, and other runtimes",), ("python benchmarks/explore.py",)),
    Result("scaling", 15, ("Scaling",), ("python benchmarks/scaling.py",)),
    Result("cold-start", 1, ("Cold start",), ("python benchmarks/cold_start.py",)),
    Result("costs", 15, ("Images on disk, determinism, and steps that are checked",), (
        "python benchmarks/costs.py --rounds 4",
        "python -m pytest -q tests/training/test_checkpoints.py tests/training/test_training_kills.py",
    )),
    Result("fuzzing", 65, ("Fuzzing",), tuple(
        f"python tests/fuzz/run.py --reader {reader} --count 10000 --seed 0" for reader in READERS
    )),
    Result("quick", 15, ("Choosing what kvae train does without settings",), (
        "kvae train --recipe fashion_mnist_quick --out runs/results/quick",
        "kvae evaluate runs/results/quick",
        "kvae evaluate runs/results/quick --samples 10000",
    )),
    Result("default-networks", 20, ("Choosing the default networks",), (
        "kvae train --learning-rate 0.001 --out runs/results/defaults/conv-slow",
        "kvae train --architecture conv --out runs/results/defaults/conv",
        "kvae train --architecture mlp --epochs 30 --learning-rate 0.001 --out runs/results/defaults/mlp-slow",
        "kvae train --architecture mlp --out runs/results/defaults/mlp",
        "kvae runs runs/results/defaults",
    )),
]  # fmt: skip
"""Everything that a command measures."""

LEFT_OUT = {
    "A prior fitted afterwards": "the smudges: a reader counts them, in the samples that are drawn here",
    "What a step and a sample cost": "measured with loops that were not kept",
    SPEED: "the profiles, and what was tried once while the code was another",
    "Precisions": "the variants of int8 that were tried once",
    "Choosing the default networks": "the network with SiLU, and the epochs that were timed: kvae has no such setting",
}
"""What no command measures again, by section, and why."""


def print_of(result: Result, number: int) -> Path:
    """The file with what a command printed."""
    return PRINTED / f"{result.name}-{number}.txt"


def is_done(result: Result, number: int) -> bool:
    """Whether a command, as it is now, was run to its end."""
    path = print_of(result, number)
    return path.is_file() and path.read_text().startswith(f"$ {result.commands[number]}\n")


def left(result: Result) -> list[int]:
    """The numbers of the commands that are not done."""
    return [number for number in range(len(result.commands)) if not is_done(result, number)]


def arguments(command: str) -> list[str]:
    """A command for this Python; a training whose folder is a run goes on with it."""
    program, *words = shlex.split(command)
    if program != "kvae":
        return [sys.executable, *words]
    if words[0] in ("train", "fit-prior"):
        out = words[words.index("--out") + 1]
        if (Path(out) / "config.json").is_file():
            words = ["train", "--resume", out]
    return [sys.executable, "-m", "kvae", *words]


def run(command: str, path: Path) -> int:
    """Run a command, keep what it prints if it comes to its end, and return its exit status."""
    path.parent.mkdir(parents=True, exist_ok=True)
    started, begun = datetime.datetime.now(), time.perf_counter()
    unfinished = path.with_suffix(".part")
    with unfinished.open("w") as file:
        file.write(f"$ {command}\n# commit {commit()}, {started:%Y-%m-%d %H:%M}, {platform.node()}\n")
        file.flush()
        with subprocess.Popen(
            arguments(command), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            try:
                for line in process.stdout or ():
                    print(line, end="", flush=True)
                    file.write(line)
                    file.flush()
            except KeyboardInterrupt:  # the command got it too, and saves what it has
                process.wait()
                return INTERRUPTED
        file.write(f"# {(time.perf_counter() - begun) / 60:.1f} minutes\n")
    if process.returncode == 0:
        unfinished.replace(path)
    return process.returncode


def commit() -> str:
    """The commit of the code, with "-dirty" if files were changed since."""
    words = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip() or "unknown"


def commit_of(path: Path) -> str:
    """The commit that a print is from."""
    return path.read_text().splitlines()[1].removeprefix("# commit ").partition(",")[0]


def overview(results: Sequence[Result]) -> str:
    """A line per result, and how long what is left takes."""
    lines, minutes, now = [], 0.0, commit()
    for result in results:
        missing = left(result)
        made = {commit_of(print_of(result, n)) for n in range(len(result.commands)) if n not in missing}
        state = "done" if not missing else f"{len(missing)} of {len(result.commands)} left"
        other = f", made at {' and '.join(sorted(made - {now}))}" if made - {now} else ""
        lines.append(f"{result.name:<18} {state:<14} about {result.minutes:g} minutes in all{other}")
        minutes += result.minutes if missing else 0.0
    lines.append(f"left: about {minutes / 60:.1f} hours on two cores, less what is done of each")
    lines += [f"not measured here, {section}: {why}" for section, why in LEFT_OUT.items()]
    return "\n".join(lines)


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="What to measure; by default everything.")
    parser.add_argument("--list", action="store_true", help="Run nothing; print what is done and what is left.")
    given = parser.parse_args(words)
    known = {result.name: result for result in RESULTS}
    if unknown := [name for name in given.names if name not in known]:
        parser.error(f"unknown: {', '.join(unknown)}. Known: {', '.join(known)}")
    chosen = [known[name] for name in given.names] or RESULTS
    failed = []
    for result in () if given.list else chosen:
        for number in left(result):
            command = result.commands[number]
            print(f"\n{result.name}, {number + 1} of {len(result.commands)}\n$ {command}", flush=True)
            status = run(command, print_of(result, number))
            if status == INTERRUPTED:
                print(f"Interrupted. The same call goes on with {result.name}.", file=sys.stderr)
                return INTERRUPTED
            if status:
                failed.append(f"{result.name}: exit status {status} of {command}")
                break  # the next command may need what this one should have made
    print(f"\n{overview(chosen)}")
    for line in failed:
        print(f"failed, {line}", file=sys.stderr)
    return int(bool(failed))


if __name__ == "__main__":
    os.chdir(Path(__file__).parent.parent)
    sys.exit(main(sys.argv[1:]))
