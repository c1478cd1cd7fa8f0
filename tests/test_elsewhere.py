"""kvae's verbs on imitations of other systems; `elsewhere.py` is the program that is run."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("system", ["windows", pytest.param("no locks", marks=pytest.mark.slow), "no case"])
def test_the_light_world_works_on_what_looks_like(system, tmp_path, bundle_path):
    program = Path(__file__).parent / "elsewhere.py"
    done = subprocess.run(
        [sys.executable, str(program), system, str(tmp_path / "here"), str(bundle_path)],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "all is well\n"), done.stderr
