"""Signals end a program in one line, with 128 + n, and without temporary files."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PROGRAM = (
    "import signal\n"
    "signal.signal(signal.SIGQUIT, signal.SIG_DFL)\n"
    "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    "from kvae.cli.start import main; main()"
)
"""kvae, with the signals that a background job of a shell would ignore as they are elsewhere."""


def begun(folder, *arguments, prefix=(), cwd=None):
    """A process that has begun to write something into a folder."""
    process = subprocess.Popen(
        [*prefix, sys.executable, "-c", PROGRAM, *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=cwd,
    )  # fmt: skip
    while process.poll() is None and not any(
        ".tmp" in name for _, *names in os.walk(folder) for name in sum(names, [])
    ):
        time.sleep(0.01)
    return process


ENDINGS = [
    (signal.SIGTERM, "Ended by SIGTERM."),
    (signal.SIGHUP, "Ended by SIGHUP."),
    (signal.SIGINT, "Interrupted."),
    (signal.SIGQUIT, "Ended by SIGQUIT."),  # Ctrl-\
    (signal.SIGXCPU, "Ended by SIGXCPU."),  # ulimit -S -t
    (signal.SIGALRM, "Ended by SIGALRM."),  # a parent's alarm stays set in its programs
    (signal.SIGUSR1, "Ended by SIGUSR1."),  # Slurm's warning before a job's end
    (signal.SIGUSR2, "Ended by SIGUSR2."),
]


@pytest.mark.parametrize(
    ("number", "line", "out"),
    [
        *((*ending, "samples") for ending in ENDINGS),
        (*ENDINGS[0], "samples.npz"),
        *(pytest.param(*ending, "samples.npz", marks=pytest.mark.exhaustive) for ending in ENDINGS[1:]),
    ],
)
def test_a_signal_while_sampling_leaves_nothing(number, line, out, tmp_path, bundle_path):
    process = begun(tmp_path, "sample", "--n", 1_000_000, "--model", bundle_path, "--out", tmp_path / out)
    process.send_signal(number)
    try:
        stdout, stderr = process.communicate(timeout=60)
    finally:
        process.kill()  # if it did not hear
    assert (process.returncode, stdout, stderr) == (128 + number, "", f"{line}\n")
    assert os.listdir(tmp_path) == []


@pytest.mark.slow
def test_a_signal_while_encoding_leaves_nothing(tmp_path, bundle_path):
    pixels, out = tmp_path / "images.npy", tmp_path / "out"
    out.mkdir()
    sample = ["sample", "--n", "200000", "--model", str(bundle_path), "--out", str(pixels)]
    subprocess.run([sys.executable, "-c", PROGRAM, *sample], check=True, capture_output=True)
    process = begun(out, "encode", pixels, "--model", bundle_path, "--out", out / "new" / "codes.npz", cwd=out)
    process.terminate()
    assert process.communicate(timeout=60) == ("", "Ended by SIGTERM.\n")
    assert process.returncode == 143
    assert os.listdir(out) == []


def test_a_signal_that_is_ignored_stays_ignored(tmp_path, bundle_path):
    """As under nohup."""
    process = begun(
        tmp_path, "sample", "--n", 2000, "--model", bundle_path, "--out", tmp_path / "samples", prefix=["nohup"]
    )
    process.send_signal(signal.SIGHUP)
    stdout, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert stdout.strip() == str(tmp_path / "samples")


@pytest.mark.slow
def test_ctrl_c_at_any_moment_is_one_line(tmp_path, bundle_path):
    """From the first line of kvae on: at each of its imports, as an audit hook counts them."""
    code = (
        "import os, signal, sys\nleft = int(sys.argv.pop(1))\n"
        "def look(event, arguments):\n"
        "    global left\n"
        "    if event == 'import':\n"
        "        left -= 1\n"
        "        if left == 0: os.kill(os.getpid(), signal.SIGINT)\n"
        "from kvae.cli.start import main\nsys.addaudithook(look)\nmain()"
    )
    statuses = []
    for number in (1, 5, 20, 60, 100, 150, 200, 250, 300, 400, 500):
        arguments = ["sample", "--n", "3", "--model", str(bundle_path), "--out", str(tmp_path / "a.npy")]
        done = subprocess.run(
            [sys.executable, "-c", code, str(number), *arguments], capture_output=True, text=True, check=False
        )
        statuses.append(done.returncode)
        if done.returncode == 130:
            assert (done.stdout, done.stderr) == ("", "Interrupted.\n"), number
        else:
            assert done.returncode == 0, done.stderr
    assert statuses[:5] == [130] * 5
    assert {Path(name).name for name in os.listdir(tmp_path)} <= {"a.npy"}


def test_ctrl_c_within_an_exec_of_a_string_keeps_the_status(tmp_path):
    """Named tuples and dataclasses are made so while modules are imported; only `python -m` showed it."""
    (tmp_path / "interrupted.py").write_text(
        "import signal, sys\n"
        "from kvae.cli.signals import Ended, heard\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "try:\n"
        "    with heard():\n"
        "        exec('import os, signal; os.kill(os.getpid(), signal.SIGINT)\\nfor _ in range(9): pass')\n"
        "except Ended as error:\n"
        "    sys.exit(error.status)\n"
    )
    done = subprocess.run([sys.executable, "-m", "interrupted"], cwd=tmp_path, check=False)
    assert done.returncode == 130
