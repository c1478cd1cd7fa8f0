"""What decides how floats are rounded: the processor."""

import platform
import re
from pathlib import Path

ROOT = Path("/")
"""Where /proc is."""


def name(root: Path = ROOT) -> str:
    """The processor's name, in one line of at most 100 characters.

    Args:
        root: where /proc is; another folder in tests.
    """
    try:
        text = (root / "proc/cpuinfo").read_text(errors="replace")
    except OSError:  # not Linux
        text = ""
    found = re.search(r"^model name\s*:\s*(.*)$", text, re.MULTILINE)
    given = found[1] if found else platform.processor()
    return " ".join(f"{platform.machine()} {given}".split())[:100]
