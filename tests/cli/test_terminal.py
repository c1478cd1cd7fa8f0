"""What fits a terminal: text wrapped between words, tables that drop or stack columns, messages told once."""

import fcntl
import io
import logging
import os
import pty
import re
import struct
import subprocess
import sys
import termios

import pytest
from click.testing import CliRunner

from kvae.bundle import locate
from kvae.cli import terminal
from kvae.cli.main import main

SHIPPED = locate.shipped()["fashion_mnist_small"]
PROSE = "the loss weights the posterior's entropy by 0, not 1: it is not a bound; 237.07 ± 0.76 nats of ≤ 28 x 28 x 1"


@pytest.mark.parametrize("columns", [20, 30, 50, 80])
@pytest.mark.parametrize("start", ["", "  ", "test metrics  ", "  name    ok       "])
def test_text_is_wrapped_between_words(start, columns):
    lines = terminal.wrapped(start + PROSE, columns).split("\n")
    assert all(len(line) <= columns for line in lines)
    assert " ".join(" ".join(lines).split()) == " ".join((start + PROSE).split())
    assert any("237.07 ± 0.76" in line for line in lines) and any("≤ 28 x 28 x 1" in line for line in lines)


def test_text_continues_under_the_text_of_its_line():
    assert terminal.wrapped("name    a text of several words", 26) == "name    a text of several\n        words"
    assert terminal.wrapped("a long label    a text of words", 24) == "a long label    a text\n  of words"


def test_only_paths_longer_than_a_line_are_broken():
    assert terminal.wrapped("run: a/long/path/to/a/folder of mine", 20) == "run: a/long/path/to/\na/folder of mine"
    assert terminal.wrapped("x" * 30, 20) == "x" * 30
    assert terminal.wrapped("name    " + "x" * 30, 34) == "name\n    " + "x" * 30


def test_without_a_terminal_nothing_is_wrapped():
    assert terminal.wrapped(PROSE * 9, None) == PROSE * 9
    assert terminal.wrapped(f"z0{terminal.JOINED}1", None) == "z0 1"
    with open(os.devnull) as stream:
        assert terminal.width(stream) is None


WHOLE = [
    "              loss       NLL  unit",
    "first       227.50  ≤ 240.25  nats",
    "second one     9.5         –  nats",
]
ROWS = [["", "loss", "NLL", "unit"], ["first", "227.50", "≤ 240.25", "nats"], ["second one", "9.5", "–", "nats"]]


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (None, WHOLE),
        (34, WHOLE),
        (33, ["              loss       NLL", "first       227.50  ≤ 240.25", "second one     9.5         –"]),
        (27, ["first", "  loss  227.50", "  NLL   ≤ 240.25", "second one", "  loss  9.5", "  NLL   –"]),
    ],
    ids=lambda value: None if isinstance(value, list) else str(value),
)
def test_a_table_drops_columns_and_then_stacks_them(columns, expected):
    assert terminal.table(ROWS, columns=columns, right=(1, 2), optional=[3]).split("\n") == expected


def test_a_shorter_form_is_tried_before_columns_are_stacked():
    short = [["", "loss"], ["first", "227.5"]]
    assert terminal.table(ROWS, short, columns=20, right=(1,), optional=[3]).split("\n") == [
        "        loss",
        "first  227.5",
    ]


def test_each_message_of_the_library_is_printed_once(capsys):
    logger = logging.getLogger("kvae")
    before = logger.level, logger.propagate
    try:
        for _ in range(2):  # a second command of the same process prints it again, and once
            terminal.log_to_stderr()
            for _ in range(3):
                logging.getLogger("kvae.data.datasets").info("mini: from %s", "a folder")
                logging.getLogger("kvae.data.datasets").info("mini: from %s", "another")
            assert capsys.readouterr().err == "mini: from a folder\nmini: from another\n"
    finally:
        logger.handlers = [handler for handler in logger.handlers if handler.get_name() != terminal.__name__]
        logger.level, logger.propagate = before


def on_a_terminal(columns, *arguments):
    """What a terminal of so many columns shows of a command, stdout and stderr together."""
    controller, end = pty.openpty()
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    code = "from kvae.cli.main import main; main()"
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdin=end, stdout=end, stderr=end, env=environment
    )
    os.close(end)
    shown = b""
    try:
        while part := os.read(controller, 65536):
            shown += part
    except OSError:  # the other end was closed
        pass
    os.close(controller)
    process.wait()
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    return [line.rpartition("\r")[2] for line in text.replace("\r\n", "\n").split("\n")]


@pytest.mark.parametrize("columns", [50, 80])
@pytest.mark.parametrize("verb", ["info", "verify", "doctor", "runs", "score"])
def test_every_line_fits_the_terminal(verb, columns, tmp_path, run):
    arguments = {
        "info": [str(SHIPPED)], "verify": [str(SHIPPED)], "doctor": [], "runs": [str(run.path.parent)],
        "score": [str(run.path / "samples.png"), "--resize", "--model", "fashion_mnist_small"],
    }[verb]  # fmt: skip
    lines = on_a_terminal(columns, verb, *arguments)
    assert len(lines) > 2
    assert [line for line in lines if len(line) > columns] == []


@pytest.mark.slow
@pytest.mark.parametrize("columns", [50, 80])
def test_an_evaluation_against_another_fits_the_terminal(columns, run):
    """As a table at 80 columns, and stacked at 50."""
    lines = on_a_terminal(columns, "evaluate", str(run.path), "--against", str(run.path), "--importance-samples", "5")
    assert [line for line in lines if len(line) > columns] == []
    assert any(re.match(r"−ELBO +\d+\.\d\d+ ± \d", line) for line in lines) is (columns == 80)
    assert any(re.match(r"  paired difference +[+-]\d", line) for line in lines) is (columns == 50)


def test_a_pipe_gets_whole_lines(run):
    shown = CliRunner().invoke(main, ["info", str(SHIPPED)]).stdout
    assert any(line.startswith("test metrics  grey intensities") and len(line) > 80 for line in shown.split("\n"))


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_status_stands_below_what_is_told_meanwhile(monkeypatch):
    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    with terminal.status("reading"):
        terminal.tell("found")
    blank = " " * len("reading ...")
    assert screen.getvalue() == f"reading ...\r{blank}\rfound\nreading ...\r{blank}\r"
    assert "\x1b" not in screen.getvalue()


@pytest.mark.parametrize(("plain", "expected"), [(True, "reading ...\n"), (False, "")])
def test_without_a_terminal_a_long_status_is_a_line(capsys, plain, expected):
    with terminal.status("reading", plain):
        pass
    assert capsys.readouterr().err == expected
