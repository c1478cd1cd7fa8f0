"""Fetch the files of a data set into the user's cache: over HTTP, or out of Debian's archive by apt."""

import gzip
import hashlib
import logging
import os
import shutil
import subprocess
import tempfile
import urllib.request
import zlib
from http.client import HTTPException
from pathlib import Path
from urllib.parse import urlsplit

from kvae.errors import DataError
from kvae.files.atomic import atomic_file

logger = logging.getLogger(__name__)

TIMEOUT = 10.0
"""Seconds without an answer after which a server counts as unreachable."""


def cache_dir() -> Path:
    """The user's cache: `$KVAE_CACHE_DIR`, else `kvae` in `$XDG_CACHE_HOME`, else in `~/.cache`."""
    if own := os.environ.get("KVAE_CACHE_DIR"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kvae"


def fetch(name: str, hashes: dict[str, str], urls: tuple[str, ...], debian_package: str | None, target: Path) -> None:
    """Put the files `<stem>.gz` into the folder `target`, each whole and right, or not at all.

    Args:
        name: the data set's name, for messages.
        hashes: for each file's stem, the sha256 of its uncompressed content.
        urls: folders to download from, each ending in a slash, tried in turn.
        debian_package: a package that holds the files, tried last, where apt is at hand. No root is needed: the
            package is unpacked, not installed.
        target: folder to write to.

    Raises:
        DataError: no source could be reached, or none had the right bits.
        KvaeError: the folder cannot be written to.
    """
    reasons = []
    for url in urls:
        try:
            for stem, digest in hashes.items():
                if (target / f"{stem}.gz").exists():
                    continue  # the server before this one had it
                logger.info("downloading %s%s.gz", url, stem)
                with urllib.request.urlopen(f"{url}{stem}.gz", timeout=TIMEOUT) as response:
                    content = response.read()
                _keep(content, digest, target / f"{stem}.gz")
            return
        except (OSError, EOFError, zlib.error, HTTPException) as error:
            reasons.append(f"{urlsplit(url).netloc}: {_reason(error)}")
    if debian_package and shutil.which("apt-get") and shutil.which("dpkg-deb"):
        try:
            _unpack_debian_package(debian_package, hashes, target)
            return
        except (OSError, EOFError, zlib.error, subprocess.SubprocessError) as error:
            reasons.append(f"Debian's archive: {_reason(error)}")
    package = f"apt-get install {debian_package}, or " if debian_package else ""
    raise DataError(
        f"{name} is not on this machine and could not be downloaded ({'; '.join(reasons)}). To go on: {package}put "
        f"{next(iter(hashes))}.gz and the other files into a folder and pass --data-dir, or use "
        f"--dataset fashion_mnist_mini."
    )


def _keep(content: bytes, digest: str, path: Path) -> None:
    if hashlib.sha256(gzip.decompress(content)).hexdigest() != digest:
        raise OSError(f"{path.name} there is not the expected file")
    with atomic_file(path) as temporary:
        temporary.write_bytes(content)


def _unpack_debian_package(package: str, hashes: dict[str, str], target: Path) -> None:
    logger.info("fetching %s from Debian's archive", package)
    with tempfile.TemporaryDirectory() as scratch:
        # apt's own lists may be missing (a bare container) or need root, so it gets lists and a cache of its own.
        folder = Path(scratch)
        (folder / "lists" / "partial").mkdir(parents=True)
        options = [f"-oDir::State::Lists={folder}/lists", f"-oDir::Cache={folder}/cache"]
        if os.geteuid() == 0:
            options.append("-oAPT::Sandbox::User=root")  # its usual sandbox user cannot write to our folder
        for arguments in (["update"], ["download", package]):
            _run(["apt-get", "-qq", *options, *arguments], folder)
        for archive in folder.glob("*.deb"):
            _run(["dpkg-deb", "--extract", str(archive), str(folder / "root")], folder)
        unpacked = {path.name: path for path in (folder / "root").rglob("*.gz")}
        for stem, digest in hashes.items():
            if f"{stem}.gz" not in unpacked:
                raise OSError(f"{package} holds no {stem}.gz")
            _keep(unpacked[f"{stem}.gz"].read_bytes(), digest, target / f"{stem}.gz")


def _run(command: list[str], folder: Path) -> None:
    subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=600)


def _reason(error: Exception) -> str:
    """What went wrong, in a few words: a program's last line, or the system's name for it."""
    cause = getattr(error, "reason", None) or error
    text = getattr(error, "stderr", None) or getattr(cause, "strerror", None) or str(cause)
    lines = (text.decode(errors="replace") if isinstance(text, bytes) else text).strip().splitlines()
    return lines[-1] if lines else type(error).__name__
