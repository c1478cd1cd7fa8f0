"""Cuts photographs into square tiles, a folder of PNGs to train on and one that no training sees.

    python benchmarks/tiles.py --train PHOTO... --test PHOTO... --out FOLDER [--size 32] [--stride 16]
    kvae train --data FOLDER/train --out RUN
    python benchmarks/compression.py RUN --images FOLDER/test

Tiles to train on begin every `--stride` pixels and so overlap; those of the test photographs do not.
"""

import argparse
from collections.abc import Iterable
from pathlib import Path

from PIL import Image


def cut(photographs: Iterable[Path], folder: Path, size: int, stride: int) -> int:
    """Write the tiles of photographs into a new folder; returns their number."""
    folder.mkdir(parents=True)
    count = 0
    for path in photographs:
        with Image.open(path) as photograph:
            pixels = photograph.convert("RGB")
        for top in range(0, pixels.height - size + 1, stride):
            for left in range(0, pixels.width - size + 1, stride):
                pixels.crop((left, top, left + size, top + size)).save(folder / f"{path.stem}-{top:04}-{left:04}.png")
                count += 1
    return count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", type=Path, nargs="+", required=True)
    parser.add_argument("--test", type=Path, nargs="+", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--stride", type=int, default=16)
    given = parser.parse_args()
    for name, photographs, stride in (("train", given.train, given.stride), ("test", given.test, given.size)):
        print(f"{given.out / name}: {cut(photographs, given.out / name, given.size, stride):,} tiles")


if __name__ == "__main__":
    main()
