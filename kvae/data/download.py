"""Download the files of a data set into the user's cache, over HTTP or from Debian's archive with apt."""

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
"""Seconds without a response after which a server counts as unreachable."""


def fetch(name: str, hashes: dict[str, str], urls: tuple[str, ...], debian_package: str | None, target: Path) -> None:
    """Put the files `<stem>.gz` into the folder `target`, each complete and correct, or not at all.

    Args:
        name: the data set's name, for messages.
        hashes: for each file's stem, the sha256 of its uncompressed content.
        urls: folders to download from, each ending in a slash, tried in turn.
        debian_package: a package that holds the files, tried last, if apt is available. Root is not needed, because
            the package is unpacked, not installed.
        target: folder to write to.

    Raises:
        DataError: no source could be reached, or none had the right files.
        KvaeError: the folder cannot be written to.
    """
    reasons = []
    for url in urls:
        try:
            for stem, digest in hashes.items():
                if (target / f"{stem}.gz").exists():
                    continue  # an earlier server had it
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
        f"{name} is not on this machine and could not be downloaded ({'; '.join(reasons)}). To continue: {package}put "
        f"{next(iter(hashes))}.gz and the other files into a folder and pass it as --data-dir, or use "
        f"--dataset fashion_mnist_mini."
    )


def _keep(content: bytes, digest: str, path: Path) -> None:
    if hashlib.sha256(gzip.decompress(content)).hexdigest() != digest:
        raise OSError(f"its {path.name} is not the expected file")
    with atomic_file(path, waits=True) as temporary:
        temporary.write_bytes(content)


def _unpack_debian_package(package: str, hashes: dict[str, str], target: Path) -> None:
    logger.info("fetching %s from Debian's archive", package)
    with tempfile.TemporaryDirectory() as scratch:
        # apt's lists may be missing (in a bare container) or need root, so it gets separate lists and a separate cache.
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
                raise OSError(f"{package} does not contain {stem}.gz")
            _keep(unpacked[f"{stem}.gz"].read_bytes(), digest, target / f"{stem}.gz")


def _run(command: list[str], folder: Path) -> None:
    subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=600)


def _reason(error: Exception) -> str:
    """What went wrong, in a few words: the last line of a program's output, or the system's message."""
    cause = getattr(error, "reason", None) or error
    text = getattr(error, "stderr", None) or getattr(cause, "strerror", None) or str(cause)
    lines = (text.decode(errors="replace") if isinstance(text, bytes) else text).strip().splitlines()
    return lines[-1] if lines else type(error).__name__
