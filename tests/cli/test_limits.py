"""`--limit`: the command runs in a process of its own, and ends in one line if the model takes too much."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import numpy as np
import pytest
from onnx import helper
from strange_graphs import constant, decoder, write_lone

from kvae.cli import limits

node = helper.make_node
LAST = [node("Sigmoid", ["z"], ["s"]), node("Add", ["s", "m"], ["flat"])]


def kvae(*words):
    return subprocess.run([sys.executable, "-m", "kvae", *map(str, words)], capture_output=True, text=True, timeout=120)


def one_line(done):
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("Error: ")
    assert done.stderr.count("\n") == 1
    return done.stderr


def squares(count, size):
    """A graph that multiplies a large matrix by itself, time after time."""
    nodes = [constant("n", [size, size], np.int64), node("ConstantOfShape", ["n"], ["w0"])]
    nodes += [node("MatMul", [f"w{index}", f"w{index}"], [f"w{index + 1}"]) for index in range(count)]
    return decoder(*nodes, node("ReduceMax", [f"w{count}"], ["m"], keepdims=0), *LAST)


def test_a_good_model_works_as_without(tmp_path):
    path = write_lone(decoder(), tmp_path / "lone.onnx")
    for name, words in (("a.npy", []), ("b.npy", ["--limit", "60,3000"])):
        done = kvae("sample", "--model", path, "--n", 3, "--out", tmp_path / name, *words)
        assert done.returncode == 0, done.stderr
        assert done.stdout == f"{tmp_path / name}\n"
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), np.load(tmp_path / "b.npy"))
    assert kvae("info", path, "--limit", "60").returncode == 0


def test_the_exit_status_is_that_of_the_command(tmp_path):
    assert "not found" in one_line(kvae("verify", tmp_path / "x", "--limit", "60"))
    assert kvae("sample", "--limit", "60", "--nonsense").returncode == 2


def test_a_model_that_takes_too_long_is_ended(tmp_path):
    path = write_lone(squares(400, 3000), tmp_path / "slow.onnx")
    done = kvae("sample", "--model", path, "--n", 1, "--out", tmp_path / "x.npy", "--limit", "2")
    assert "not done after 2 s" in one_line(done)
    assert not (tmp_path / "x.npy").exists()


def test_a_model_that_takes_too_much_memory_is_one_line(tmp_path):
    nodes = [constant("n", [5 * 10**8], np.int64), node("ConstantOfShape", ["n"], ["big"])]
    path = write_lone(decoder(*nodes, node("ReduceMax", ["big"], ["m"], keepdims=0), *LAST), tmp_path / "big.onnx")
    done = kvae("sample", "--model", path, "--n", 1, "--out", tmp_path / "x.npy", "--limit", "100,1500")
    one_line(done)
    assert not (tmp_path / "x.npy").exists()


@pytest.mark.parametrize(("text", "expected"), [("1", (1.0, None)), ("0.5,512", (0.5, 512)), ("90,2000", (90.0, 2000))])
def test_limits_are_read(text, expected):
    assert limits.parse(text) == expected


@pytest.mark.parametrize(
    "text", ["", "0", "-1", "nan", "inf", "1,", "1,2", "1,511", "1 2", "1,2000,3", "9" * 9, "1e3", "x"]
)
def test_other_texts_are_refused(text):
    with pytest.raises(click.BadParameter, match="expected SECONDS"):
        limits.parse(text)


@pytest.mark.parametrize("number", [signal.SIGABRT, signal.SIGSEGV, signal.SIGKILL])
def test_a_child_that_a_signal_ends_is_told(number):
    """What onnxruntime does with some graphs."""
    code = (
        "import os, resource, click\n"
        "from kvae.cli import limits\n"
        "from kvae.errors import KvaeError\n"
        "context = click.Context(click.Command('x'))\n"
        "try:\n"
        "    limits.start(context, None, '30')\n"
        f"    os.kill(os.getpid(), {int(number)})\n"
        "except KvaeError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert f"was ended by {number.name} under a --limit of 30 s" in done.stdout, done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_parent_ends_the_child(tmp_path, number):
    path = write_lone(squares(400, 3000), tmp_path / "slow.onnx")
    words = ["sample", "--model", path, "--n", 1, "--out", tmp_path / "x.npy", "--limit", "100"]
    with subprocess.Popen(
        [sys.executable, "-m", "kvae", *map(str, words)], stderr=subprocess.PIPE, text=True
    ) as parent:
        children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children")
        while not (found := children.read_text().split()):
            time.sleep(0.01)
        parent.send_signal(number)
        errors = parent.communicate(timeout=60)[1]
    assert parent.returncode != 0
    assert errors.count("\n") <= 1
    assert not Path(f"/proc/{found[0]}").exists()
