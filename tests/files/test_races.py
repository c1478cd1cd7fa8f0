"""Two processes that race for one result: nothing is lost. `benchmarks/races.py` is the program, for more rounds."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parent.parent.parent / "benchmarks" / "races.py"
ROUNDS = os.environ.get("KVAE_TEST_ROUNDS", "20")


@pytest.mark.slow
def test_of_two_processes_that_write_one_result_one_wins_wholly():
    done = subprocess.run([sys.executable, str(PROGRAM), ROUNDS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    kinds = {line.split(f"{ROUNDS} rounds")[0].strip(): line for line in done.stdout.splitlines()}
    assert set(kinds) == {"file", "folder", "empty folder", "run", "cache"}
    assert f"'one was refused': {ROUNDS}" in kinds["run"]
