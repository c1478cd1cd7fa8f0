"""A process that is killed between any two of its writes leaves the old state or the new one, and the next one goes on.

`kills.py` is the program that is run, and lists the actions.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parent.parent / "kills.py"
QUICK = {
    "a file": 6, "a file that is replaced": 6, "a file in a new folder": 6, "a folder": 10,
    "a folder that is replaced": 12, "a folder that is replaced without a swap": 12,
    "an empty folder that is filled": 12,
}  # fmt: skip
"""The actions, and how many writing calls each has at least."""
SLOW = {"codes": 15, "scores": 6, "parts": 30, "the image cache": 20, "an export": 15}


@pytest.mark.parametrize(
    ("action", "least"), [*QUICK.items(), *(pytest.param(*item, marks=pytest.mark.slow) for item in SLOW.items())]
)
def test_a_kill_at_any_call_leaves_old_or_new(action, least, tmp_path, bundle_path):
    done = subprocess.run(
        [sys.executable, str(PROGRAM), action, str(tmp_path / "root"), str(bundle_path)],
        capture_output=True, text=True, env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = done.stdout.strip().rpartition("\n")[2]
    assert found.endswith(" calls"), done.stdout
    assert int(found.split()[0]) >= least
