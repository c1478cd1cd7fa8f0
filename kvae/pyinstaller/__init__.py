"""Tells PyInstaller, by the entry point `pyinstaller40`, where the hooks are that add what it cannot see by itself."""

from pathlib import Path

__all__ = ["hook_dirs"]


def hook_dirs() -> list[str]:
    """The folder of the hooks."""
    return [str(Path(__file__).parent)]
