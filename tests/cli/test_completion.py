"""`kvae completion`, and what the shell offers: through click's interface, and in a real bash."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from kvae.bundle import locate
from kvae.cli.completion import VARIABLE
from kvae.cli.main import VERBS, main

KVAE = Path(sys.executable).parent / "kvae"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """With a finished run, one that has just begun, a bundle, and a folder that is none of these."""
    manifest = json.loads((locate.shipped()["fashion_mnist_small"] / "manifest.json").read_text())
    (tmp_path / "runs" / "begun").mkdir(parents=True)
    (tmp_path / "runs" / "begun" / "config.json").write_text("{}")
    shutil.copytree(tmp_path / "runs" / "begun", tmp_path / "runs" / "first")
    for bundle in (tmp_path / "runs" / "first" / "bundle", tmp_path / "mine"):
        bundle.mkdir()
        (bundle / "manifest.json").write_text(json.dumps(manifest))
    (tmp_path / "photos").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def offered(line):
    """What is offered for the last word of a line, which may be empty: values, or what the shell itself finds."""
    *words, last = line.split(" ")[1:]
    found = ShellComplete(main, {}, "kvae", VARIABLE).get_completions(words, last)
    return [item.value if item.type == "plain" else item.type for item in found]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("kvae tra", ["train", "traverse"]),
        ("kvae train --lat", ["--latent-dim"]),
        ("kvae train --help-", ["--help-all"]),
        ("kvae train --dataset fashion", ["fashion_mnist", "fashion_mnist_mini"]),
        ("kvae train --prior m", ["mixture"]),
        ("kvae train --recipe fashion_mnist_q", ["fashion_mnist_quick"]),
        ("kvae train --resume ", ["runs/begun", "runs/first"]),
        ("kvae train --data ", ["file"]),
        ("kvae sample --model ", ["fashion_mnist", "fashion_mnist_small", "runs/first", "mine"]),
        ("kvae sample --model ru", ["runs/first"]),
        ("kvae sample --model photos/x", ["file"]),
        ("kvae info fashion_mnist_", ["fashion_mnist_small"]),
        ("kvae fit-prior runs/", ["runs/begun", "runs/first"]),
        ("kvae sample --model fashion_mnist --label sn", ["Sneaker"]),
        ("kvae sample --model fashion_mnist_small --label ", []),
        ("kvae sample --model nothing --label ", []),
        ("kvae data in", ["inspect"]),
        ("kvae completion ", ["bash", "zsh", "fish"]),
    ],
)
def test_what_is_offered(line, expected):
    assert sorted(offered(line)) == sorted(expected)


def test_all_verbs_are_offered_and_none_is_imported():
    assert offered("kvae ") == list(VERBS)
    code = (
        f"import os, sys; os.environ.update(COMP_WORDS='kvae ', COMP_CWORD='1', {VARIABLE}='zsh_complete')\n"
        "from kvae.cli.main import main\ntry:\n    main([], prog_name='kvae')\nexcept SystemExit:\n"
        "    print([name for name in sys.modules if name in ('kvae.cli.train', 'kvae.cli.sample', 'numpy')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]" and "train" in done.stdout.splitlines()


def test_a_damaged_bundle_or_a_missing_folder_offers_nothing(folder):
    (folder / "mine" / "manifest.json").write_text("{")
    assert offered("kvae sample --model mine --label ") == []
    shutil.rmtree(folder / "runs")
    assert offered("kvae train --resume ") == ["dir"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_each_shell_is_printed_alone(shell):
    result = CliRunner().invoke(main, ["completion", shell])
    assert (result.exit_code, result.stderr) == (0, "")
    assert VARIABLE in result.stdout and f"{shell}_complete" in result.stdout


def test_another_shell_is_refused_in_one_line():
    result = CliRunner().invoke(main, ["completion", "bsh"])
    assert result.exit_code == 2 and "Did you mean bash?" in result.stderr


@pytest.mark.skipif(shutil.which("bash") is None or not KVAE.is_file(), reason="needs bash and the program kvae")
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["tra"], ["train", "traverse"]),
        (["train", "--dataset", "m"], ["mnist"]),
        (["sample", "--model", "runs/f"], ["runs/first"]),
        (["sample", "--model", "fashion_mnist", "--label", "ank"], [r"Ankle\ boot"]),
        (["sample", "--model", "fashion_mnist", "--label", r"Ankle\ b"], [r"Ankle\ boot"]),
    ],
)
def test_bash_completes(words, expected):
    script = CliRunner().invoke(main, ["completion", "bash"]).stdout
    asked = f'{script}\nCOMP_WORDS=(kvae); COMP_CWORD={len(words)}\nfor word in "$@"; do COMP_WORDS+=("$word"); done\n'
    asked += "_kvae_completion kvae; printf '%s\\n' \"${COMPREPLY[@]}\""
    environment = os.environ | {"PATH": f"{KVAE.parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", asked, "bash", *words], env=environment, capture_output=True, text=True)
    assert (done.stdout.splitlines(), done.stderr) == (expected, "")
