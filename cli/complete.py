"""What the shell offers for a word: data sets, models, runs and labels, as click's `shell_complete` takes them.

Nothing here may fail or be slow: it runs when the user presses TAB.
"""

from collections.abc import Iterable
from pathlib import Path

import click
from click.shell_completion import CompletionItem


def datasets(context: click.Context, option: click.Parameter, start: str) -> list[CompletionItem]:
    """The named data sets."""
    from kvae.config import DATASETS

    return [CompletionItem(name, help=about) for name, about in DATASETS.items() if name.startswith(start)]


def models(context: click.Context, option: click.Parameter, start: str) -> list[CompletionItem]:
    """The shipped models, the runs, and the bundles in this folder; else files, such as a decoder.onnx."""
    from kvae.bundle.locate import shipped
    from kvae.bundle.manifest import FILE_NAME

    names = [*shipped(), *_folders("bundle/" + FILE_NAME), *_folders(FILE_NAME)]
    return _starting(names, start) or [CompletionItem(start, type="file")]


def runs(context: click.Context, option: click.Parameter, start: str) -> list[CompletionItem]:
    """The runs in this folder and in its `runs`, finished or not; else folders."""
    from kvae.runs.layout import CONFIG

    return _starting(_folders(CONFIG), start) or [CompletionItem(start, type="dir")]


def labels(context: click.Context, option: click.Parameter, start: str) -> list[CompletionItem]:
    """The names of the classes of the model that the words before name."""
    from kvae.bundle.locate import locate
    from kvae.bundle.manifest import Manifest
    from kvae.errors import KvaeError

    try:
        names = Manifest.read(locate(context.params.get("model"))).labels or []
    except (KvaeError, OSError):
        names = []
    return _starting(names, start)


def files(context: click.Context, option: click.Parameter, start: str) -> list[CompletionItem]:
    """Files and folders."""
    return [CompletionItem(start, type="file")]


def _folders(file: str) -> list[str]:
    """The folders here and in `runs` that hold a file."""
    from kvae.bundle.locate import RUNS_FOLDER

    depth = len(Path(file).parts)
    try:
        found = [path for prefix in ("", f"{RUNS_FOLDER}/") for path in Path().glob(f"{prefix}*/{file}")]
    except OSError:
        return []
    return sorted(str(path.parents[depth - 1]) for path in found)


def _starting(names: Iterable[str], start: str) -> list[CompletionItem]:
    """The names that begin with `start`, in any case; not those that could not be shown."""
    wanted = start.casefold()
    found = [name for name in dict.fromkeys(names) if name.casefold().startswith(wanted) and name.isprintable()]
    return [CompletionItem(name) for name in found]
