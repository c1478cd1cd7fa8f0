"""Draw the figures of docs/why-kl.md from the runs of the experiment, which are made if they are missing.

python scripts/make_why_kl_figures.py FOLDER
with FOLDER that of `kvae compare --preset why-kl --dataset fashion_mnist --epochs 20 --out FOLDER`.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from kvae import comparison
from kvae.comparison import figures
from kvae.files import pictures

DOCS = Path(__file__).parent.parent / "docs" / "why-kl"
SHOWN = ("λ = 1: KL", "λ = 0: cross-entropy", "no regulariser")


def main(folder: Path) -> None:
    settings = comparison.preset("why-kl", {"dataset": "fashion_mnist", "epochs": 20})
    results = comparison.compare(settings, folder, announce=print)
    DOCS.mkdir(exist_ok=True)
    for name, draw in (
        ("objectives", figures.objectives),
        ("scales", figures.posterior_scales),
        ("codes", figures.aggregated_posteriors),
        ("histories", figures.histories),
    ):
        draw(results).savefig(DOCS / f"{name}.png", dpi=110)
    samples(results).save(DOCS / "samples.png")


def samples(results: Sequence[comparison.Result]) -> Image.Image:
    """For three of the settings samples of the prior, and below them samples of the density fitted to the codes."""
    chosen = [result for name in SHOWN for result in results if result.setting.name == name]
    font = ImageFont.load_default(14)
    grids = [
        [pictures.grid(result.pictures[kind][:24], columns=8) for result in chosen] for kind in ("samples", "fitted")
    ]
    width, height = grids[0][0].size
    scale = 2 / 3
    width, height, margin = int(width * scale), int(height * scale), 24
    sheet = Image.new("L", (len(chosen) * (width + 12), 2 * (height + margin)), 255)
    draw = ImageDraw.Draw(sheet)
    for row, (kind, images) in enumerate(zip(("prior", "fitted Gaussian"), grids, strict=True)):
        for column, (result, image) in enumerate(zip(chosen, images, strict=True)):
            left, top = column * (width + 12), row * (height + margin)
            label = f"{result.setting.name}, {kind}".replace("λ", "lambda")  # Pillow's font has no Greek
            draw.text((left, top + 4), label, fill=0, font=font)
            sheet.paste(image.resize((width, height), Image.Resampling.LANCZOS), (left, top + margin))
    return sheet


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
