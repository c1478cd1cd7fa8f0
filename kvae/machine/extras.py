"""The command that installs one of kvae's extras, from wherever this kvae was installed."""

import json
import shlex
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from urllib.parse import unquote, urlsplit

DISTRIBUTION = "kvae-onnx"
CLONE = Path(__file__).parents[2]
"""The folder of kvae's sources, if kvae runs from there."""
LAST_PYTHON = (3, 13)
"""The last Python for which TensorFlow, and so the train extra, has been released."""


def command(extra: str | None = None) -> str:
    """A pip command that adds an extra to this installation.

    Args:
        extra: "cpu", "gpu", "train", "ray" or "compress"; without one, the command repairs the installation.
    """
    suffix = f"[{extra}]" if extra else ""
    origin = _origin()
    if origin is None:
        return f"pip install {shlex.quote('.' + suffix)}  # in a clone of kvae"
    place, _, url = origin.partition(" @ ")
    wanted = shlex.quote(place + suffix + (f" @ {url}" if url else ""))
    return f"pip install {'-e ' if origin == str(CLONE) else ''}{wanted}"


def advice(extra: str) -> str:
    """How to get an extra, as the end of a message."""
    if extra == "train" and sys.version_info[:2] > LAST_PYTHON:
        this, last = (".".join(map(str, version[:2])) for version in (sys.version_info, LAST_PYTHON))
        return (
            f"no TensorFlow has been released for Python {this}: install kvae with its train extra in an environment "
            f"with Python 3.11 to {last}"
        )
    return f"install it with: {command(extra)}"


def _origin() -> str | None:
    """What pip can install again: a folder, a file, "name @ URL", or the name if it came from an index; None if gone.

    Reference: PEP 610, which specifies direct_url.json.
    """
    if getattr(sys, "frozen", False):  # by PyInstaller: nothing can be installed into such a program
        return None
    if (CLONE / "pyproject.toml").is_file() and (CLONE / "exported").is_dir():
        return str(CLONE)
    try:
        origin = json.loads(distribution(DISTRIBUTION).read_text("direct_url.json") or "{}")
        url = str(origin.get("url", ""))
    except PackageNotFoundError:  # run from a zip, or frozen into a program
        return None
    except (ValueError, AttributeError):
        url = ""
    if not url:
        return DISTRIBUTION
    if url.startswith("file:"):
        place = Path(unquote(urlsplit(url).path))
        return str(place) if place.exists() else None
    kind = origin.get("vcs_info", {}).get("vcs", "")
    return f"{DISTRIBUTION} @ {kind}{'+' if kind else ''}{url}"
