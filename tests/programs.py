"""Programs outside Python that tests run, such as node. A machine without them skips these tests; CI does not."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, NoReturn

import pytest

ROOT = Path(__file__).parent.parent
DEBIAN = {"node": "nodejs"}
"""Debian's package for a program, if it has a different name."""
PREAMBLE = """
import { readFileSync } from "node:fs";
const input = JSON.parse(readFileSync(0, "utf8"));
const output = (value) => process.stdout.write(JSON.stringify(value));
"""


def program(name: str, *others: str) -> str:
    """The path of a program, by its name or else by one of `others`."""
    for candidate in (name, *others):
        if path := shutil.which(candidate):
            return path
    missing(f"{name} is not installed: apt-get install {DEBIAN.get(name, name)}")


def javascript(code: str, folder: Path, value: Any = None) -> Any:
    """Run an ES module with node, with `value` as its `input`, and return what it passes to `output`.

    Both are passed as JSON, so 64-bit integers must be passed as text. Relative imports start from `folder`.
    """
    command = [program("node"), "--input-type=module", "-e", PREAMBLE + code]
    done = subprocess.run(command, cwd=folder, input=json.dumps(value), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def node_modules(folder: Path) -> Path:
    """The installed npm packages of an example."""
    path = folder / "node_modules"
    if not path.is_dir():
        missing(f"{path.relative_to(ROOT)} is missing: run make examples")
    return path


def missing(reason: str) -> NoReturn:
    """Skip the test, or fail it if the environment variable KVAE_TEST_ALL=1 says that nothing may be skipped."""
    if os.environ.get("KVAE_TEST_ALL") == "1":
        pytest.fail(reason)
    pytest.skip(reason)
