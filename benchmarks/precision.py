"""What do float16 and int8 weights, and onnxruntime's own format, save and cost?

Converts a bundle to each precision and format, as `kvae export` does, and times the decoders in turn, round after
round, on all cores: prints the median ratio within a round, and the time for a single image.

    python benchmarks/precision.py [RUN|BUNDLE ...] [--data-dir DIR]
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import rounds

from kvae.bundle import noise
from kvae.bundle.locate import locate
from kvae.conversion.conversion import FORMATS, PRECISIONS, convert
from kvae.conversion.fidelity import size
from kvae.runtime.bundle import Bundle

ROUNDS = 9
NUM_IMAGES = 4096
SINGLE_CALLS = 200


def seconds(work: Callable[[], object], calls: int = 1) -> float:
    """Wall-clock time of a call, the mean of several."""
    start = time.perf_counter()
    for _ in range(calls):
        work()
    return (time.perf_counter() - start) / calls


def decode_times(bundles: list[Bundle], count: int, calls: int) -> list[list[float]]:
    """Seconds to decode `count` codes, by round and by bundle; the first round is not measured."""
    z = noise.standard_normal(0, 0, count, bundles[0].manifest.latent_dim)
    times = [[seconds(partial(bundle.decode, z), calls) for bundle in bundles] for _ in range(1 + ROUNDS)]
    return times[1:]


def measure(source: Path, folder: Path, data_dir: Path | None) -> None:
    """Print the table for one bundle."""
    paths = {(precision, form): folder / f"{precision}-{form}" for precision in PRECISIONS for form in FORMATS}
    paths["float32", "onnx"] = source
    for (precision, form), path in paths.items():
        if path != source:
            convert(source, path, precision, form, data_dir=data_dir)
    bundles = [Bundle.open(path, device="cpu") for path in paths.values()]
    many, single = decode_times(bundles, NUM_IMAGES, 1), decode_times(bundles, 1, SINGLE_CALLS)
    print(f"\n{source}\n\n| graphs | bytes | pixels off: mean, worst | NLL lost | decodes | one image |")
    print("|---|---|---|---|---|---|")
    for column, ((precision, form), bundle) in enumerate(zip(paths, bundles, strict=True)):
        found = bundle.manifest.conversion
        share = size(bundle) / size(bundles[0])
        cost = "0 | 0"
        if found is not None:
            lost = found["nll_lost"]
            cost = f"{found['mean_pixel_error']:.1e}, {found['worst_pixel_error']:.1e} | "
            cost += f"{lost['value']:.4f} ± {lost['standard_error']:.4f}"
        ratio = statistics.median(times[0] / times[column] for times in many)
        latency = 1e3 * statistics.median(times[column] for times in single)
        print(f"| {precision} {form} | {size(bundle):,} ({share:.1%}) | {cost} | x{ratio:.2f} | {latency:.3f} ms |")
    rate = NUM_IMAGES / statistics.median(times[0] for times in many)
    print(f"\nfloat32 onnx decodes {rate:,.0f} images/s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=["fashion_mnist_small"])
    parser.add_argument("--data-dir", type=Path)
    arguments = parser.parse_args()
    print(rounds.machine())
    for model in arguments.models:
        with tempfile.TemporaryDirectory() as folder:
            measure(locate(model), Path(folder), arguments.data_dir)


if __name__ == "__main__":
    main()
