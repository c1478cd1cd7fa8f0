"""`kvae data inspect`: check a user's own images before training on them."""

from pathlib import Path
from typing import Any

import click

from kvae.cli.config_options import config_options
from kvae.cli.destination import Out, check_apart
from kvae.cli.help import HelpfulCommand
from kvae.cli.options import PATH, json_option
from kvae.cli.terminal import bar
from kvae.config import OWN_IMAGES, TrainConfig
from kvae.errors import KvaeError
from kvae.files import json_text

WIDTH = 80
NUM_SIZES = 5
"""Maximum number of sizes that are printed."""
NUM_COUNTED = 20
"""Maximum number of labels that are printed."""
NUM_REASONS = 20
"""Maximum number of reasons that are printed."""
NUM_NAMES = 3
"""Maximum number of names that are printed with each reason."""


@click.group()
def data() -> None:
    """Look at your own images before training."""


@data.command(
    cls=HelpfulCommand,
    examples=["kvae data inspect photos --out examples.png", "kvae data inspect photos --image-size 64 --grayscale"],
)
@click.argument("path", type=PATH)
@config_options(TrainConfig, only=(*OWN_IMAGES, "split_seed", "max_bad"))
@click.option("--out", type=Out(), help="Write example images to this PNG, one row per label.")
@json_option
def inspect(path: Path, out: Path | None, as_json: bool, **settings: Any) -> None:
    """Say which images PATH holds, and which will be skipped and why.

    PATH is what you would pass to `kvae train --data`.
    """
    config = TrainConfig(data=str(path), **settings)
    if out is not None and out.suffix.lower() != ".png":
        raise KvaeError(f"{out}: the examples are written as a PNG; give --out a name that ends in .png.")
    check_apart(out, config.own_paths)
    from kvae.data import inspection
    from kvae.data.sources import open_all
    from kvae.files import pictures
    from kvae.files.atomic import atomic_file

    source = open_all(config)
    if "TFRecords" in source.kind:  # read by TensorFlow
        from kvae.cli.quiet import import_tensorflow_quietly

        import_tensorflow_quietly()

    with bar(1, "decoding") as shown:

        def progress(done: int, of: int) -> None:
            shown.length = of
            shown.update(done - shown.pos)

        found = inspection.inspect(config, progress, source)
    if out is not None:
        picture = found.picture()
        if picture is None:
            click.echo("no picture was written, because no image can be used and shown", err=True)
        else:
            with atomic_file(out) as temporary:
                pictures.save(picture, temporary)
    click.echo(json_text.dumps(found.to_dict(), indent=2) if as_json else _as_text(found))


def _as_text(found: Any) -> str:
    images = f"{found.num_usable:,} of {found.count:,} can be used"
    if found.num_others:
        images += f"; files ignored because of their names: {found.num_others:,}"
    rows = {
        "images": images,
        "formats": _counted(found.formats) or "unknown",
        "sizes": _sizes(found),
        "colour": _colour(found),
        "labels": _labels(found),
        "splits": _splits(found),
        "duplicates": _duplicates(found),
        "skipped": f"{len(found.skipped):,}" if found.skipped else "none",
    }
    if found.likelihood is not None:
        rows["likelihood"] = f"{found.likelihood.likelihood}: {found.likelihood.why}"
    lines = [f"{found.path}: {found.kind}", *(_row(f"{name:<10}", text) for name, text in rows.items())]
    reasons = found.reasons
    for reason, names in list(reasons.items())[:NUM_REASONS]:
        told = ", ".join(names[:NUM_NAMES]) + (", ..." if len(names) > NUM_NAMES else "")
        lines.append(_row(f"{len(names):>10,}", f"{reason}: {told}"))
    if len(reasons) > NUM_REASONS:
        lines.append(_row(" " * 10, f"and {len(reasons) - NUM_REASONS:,} other reasons; see all with --json"))
    lines.append(_row(f"{'training':<10}", f"would be refused: {found.refusal}" if found.refusal else "can begin"))
    return "\n".join(lines)


def _counted(counts: dict[Any, int]) -> str:
    told = [f"{name} ({number:,})" for name, number in list(counts.items())[:NUM_COUNTED]]
    more = f" and {len(counts) - NUM_COUNTED:,} more" if len(counts) > NUM_COUNTED else ""
    return ", ".join(told) + more


def _labels(found: Any) -> str:
    if found.num_unlabelled:
        what = "pictures are not in a sub-folder" if "folder" in found.kind else "images have none"
        return f"none: {found.num_unlabelled:,} of {found.count:,} {what}"
    return f"{len(found.labels):,}: {_counted(found.labels)}" if found.labels else "none"


def _splits(found: Any) -> str:
    text = _counted(found.splits)
    if not found.given:
        return text
    taken = [split for split in found.splits if split not in (*found.given, "train")]
    more = f"; {' and '.join(taken)} is taken from the training images" if taken else ""
    return f"{text}; your own: {', '.join(['train', *found.given])}{more}"


def _sizes(found: Any) -> str:
    told = dict(list(found.sizes.items())[:NUM_SIZES])
    more = f", and {len(found.sizes) - NUM_SIZES:,} other sizes" if len(found.sizes) > NUM_SIZES else ""
    taken = " x ".join(map(str, found.image_shape[:2])) if found.image_shape else None
    text = f"height x width {_counted(told)}{more}" if told else "unknown"
    return text if taken is None or list(found.sizes) == [taken] else f"{text}; training uses {taken}"


def _colour(found: Any) -> str:
    if found.image_shape is None:
        return "unknown"
    if found.image_shape[0] == 1:
        from kvae.data.shapes import maybe_flat

        hint = maybe_flat(found.image_shape[1])
        return f"none: each row of the table is an image of 1 x k, which is not pictured{hint}"
    if found.image_shape[2] == 1:
        return f"grey; {found.num_colour:,} colour images are converted to grey" if found.num_colour else "grey"
    return f"RGB; {found.num_grey:,} grey images are converted to RGB" if found.num_grey else "RGB"


def _duplicates(found: Any) -> str:
    if not found.num_duplicates:
        return "none"
    text = f"{found.num_duplicates:,} are equal to an earlier image"
    text += f"; {found.num_across:,} of them are in another split" if found.num_across else " and in the same split"
    return f"{text}; {found.num_conflicts:,} have another label" if found.num_conflicts else text


def _row(start: str, text: str) -> str:
    """A row of a table whose last column wraps below itself."""
    import shutil  # neither is needed by `kvae --help`
    import textwrap

    return textwrap.fill(
        text,
        min(WIDTH, shutil.get_terminal_size().columns),
        initial_indent=f"{start}  ",
        subsequent_indent=" " * (len(start) + 2),
        break_long_words=False,
        break_on_hyphens=False,
    )
