"""The man page, made from the same source as `--help`."""

import importlib.util
import re
import shutil
import subprocess
from pathlib import Path

import click
import pytest

from kvae.cli.main import VERBS, main

SCRIPT = Path(__file__).parent.parent / "scripts" / "make_man_page.py"
SPEC = importlib.util.spec_from_file_location("make_man_page", SCRIPT)
assert SPEC is not None and SPEC.loader is not None
make_man_page = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(make_man_page)


def test_every_verb_option_and_example_is_there():
    text = make_man_page.page()
    for name in VERBS:
        command = main.commands[name]
        parts = command.commands if isinstance(command, click.Group) else {"": command}
        for inner, part in parts.items():
            words = " ".join(filter(None, ["kvae", name, inner])).replace("-", r"\-")
            _, _, own = text.partition(f".SS {words}\n")
            own, _, _ = own.partition("\n.SS ")
            options = [item for item in part.params if isinstance(item, click.Option)]
            for option in options:
                assert option.opts[0].replace("-", r"\-") in own, (words, option.name)
            for example in part.examples:
                assert example.replace("\\", r"\e").replace("-", r"\-") in own


@pytest.mark.parametrize(
    ("text", "expected"),
    [(".npy or -x", r"\&.npy or \-x"), ("'a'", r"\&'a'"), ("a\\b\n c", r"a\eb c"), ("plain", "plain")],
)
def test_no_text_is_a_command_of_roff(text, expected):
    assert make_man_page.escaped(text) == expected


@pytest.mark.skipif(shutil.which("groff") is None, reason="needs groff")
def test_groff_sets_it_without_a_warning(tmp_path):
    page = tmp_path / "kvae.1"
    page.write_text(make_man_page.page(), encoding="utf-8")
    done = subprocess.run(["groff", "-man", "-Kutf8", "-Tutf8", "-ww", "-P-c", page], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "--latent-dim INTEGER" in re.sub(".\b", "", done.stdout)  # bold is a sign over itself
