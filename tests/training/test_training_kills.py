"""A training that is killed between any two of its writes ends as if it had not been; `training_kills.py` does it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent.parent


@pytest.mark.slow
@pytest.mark.parametrize("kills", [3, pytest.param(9, marks=pytest.mark.exhaustive)])
def test_kills_spread_over_all_writes_of_a_training_change_nothing(tmp_path, kills):
    done = subprocess.run(
        [sys.executable, str(TESTS / "training_kills.py"), str(tmp_path / "runs"), str(kills)],
        capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(TESTS)}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "all the same", done.stdout
