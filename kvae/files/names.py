"""Names that a file cannot have on Windows, which would take them for something else or refuse them late."""

import errno
import os
import re
from pathlib import Path, PureWindowsPath

RESERVED = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])", re.IGNORECASE)
"""Devices, whatever suffix is added: `con.png` is the console."""
NOT_IN_NAMES = re.compile(r'[<>:"|?*\x00-\x1f]')


def check(path: Path, windows: bool = os.name == "nt") -> None:
    """Raise OSError if a path has a part that this system cannot name a file.

    Args:
        path: where something is to be written.
        windows: whether the rules are those of Windows; on other systems only a null byte is forbidden.
    """
    text = str(path)
    if "\0" in text:
        raise OSError(errno.EINVAL, "a name has no null byte")
    if not windows:
        return
    found = PureWindowsPath(text)
    for part in found.parts[1 if found.anchor else 0 :]:
        if part in (".", ".."):
            continue
        if RESERVED.fullmatch(part.partition(".")[0].rstrip(" ")):
            raise OSError(errno.EINVAL, f"{part} is a device of Windows; choose another name")
        if NOT_IN_NAMES.search(part) or part != part.rstrip(" ."):
            raise OSError(errno.EINVAL, f"Windows has no file named {part}; choose another name")
