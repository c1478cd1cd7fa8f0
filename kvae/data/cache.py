"""Where kvae keeps data sets that it downloaded, and images that it decoded."""

import os
from pathlib import Path


def cache_dir() -> Path:
    """The user's cache: `$KVAE_CACHE_DIR`, or else `kvae` in `$XDG_CACHE_HOME`, or else in `~/.cache`."""
    if own := os.environ.get("KVAE_CACHE_DIR"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kvae"
