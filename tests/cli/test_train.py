"""`kvae train`: its messages when it is interrupted, resumed and given what contradicts itself."""

import signal
import subprocess
import sys

import pytest
from click.testing import CliRunner

from kvae.cli.main import main
from kvae.config import TrainConfig


def invoke(*arguments):
    return CliRunner().invoke(main, arguments)


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["--beta-schedule", "soup"], 1, "beta_schedule must be linear, cyclical, or numbers"),
        (["--beta-schedule", "0,0.5"], 1, "must end with beta"),
        (["--beta-schedule", "cyclical", "--kl-warmup-epochs", "2"], 1, "kl_warmup_epochs is the length of the linear"),
        (["--free-bits", "0.1", "--regularizer", "cross-entropy"], 1, "free_bits is about the KL"),
        (["--ema", "1"], 1, "ema must be a number"),
        (["--clip-norm", "-1"], 1, "clip_norm must be a number"),
        (["--shift", "-1"], 1, "shift must be an integer of at least 0"),
        (["--init-from", "nothing"], 1, "init_from must be a run"),
        (["--resume", "r", "--init-from", "x"], 2, "--init-from cannot be combined"),
        (["--resume", "r", "--learning-rate", "1"], 2, "--learning-rate cannot be combined"),
        (["--resume", "nothing", "--epochs", "3"], 1, "nothing is not a run"),
    ],
)
def test_each_error_is_one_line(tmp_path, monkeypatch, arguments, status, words):
    monkeypatch.chdir(tmp_path)
    result = invoke("train", *arguments)
    assert result.exit_code == status
    (line,) = result.stderr.strip().splitlines()
    assert words in line and not list(tmp_path.iterdir())


def test_the_new_options_reach_the_training(monkeypatch):
    seen = []
    monkeypatch.setattr("kvae.cli.train.run_training", lambda config, *rest: seen.append(config))
    words = "--beta-schedule 0,0.1,0.5,1 --free-bits 0.2 --clip-norm 3 --ema 0.99 --shift 2"
    assert invoke("train", *words.split()).exit_code == 0
    assert seen == [TrainConfig(beta_schedule="0,0.1,0.5,1", free_bits=0.2, clip_norm=3.0, ema=0.99, shift=2)]


@pytest.mark.slow
def test_ctrl_c_at_any_moment_of_the_start_leaves_no_traceback(tmp_path):
    """From the imports of the command line to that of TensorFlow."""
    command = [sys.executable, "-m", "kvae", "train", "--dataset", "fashion_mnist_mini", "--out", "r"]
    for seconds in (0.4, 0.8, 1.6, 3.2):
        with subprocess.Popen(
            command, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as child:
            try:
                child.communicate(timeout=seconds)
            except subprocess.TimeoutExpired:
                child.send_signal(signal.SIGINT)
            _, errors = child.communicate(timeout=60)
        assert child.returncode == 130, errors
        assert "Traceback" not in errors and errors.strip().splitlines()[-1].startswith("Interrupted.")
