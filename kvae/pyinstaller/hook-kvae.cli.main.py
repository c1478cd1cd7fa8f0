"""The verbs, each of which is imported when it runs."""

from PyInstaller.utils.hooks import collect_submodules

hiddenimports = collect_submodules("kvae.cli")
