"""`kvae train --config`: options from a TOML file, under those of the command line."""

import os

import pytest
from click.testing import CliRunner

from kvae import recipes
from kvae.cli.main import main
from kvae.config import TrainConfig, from_settings


@pytest.fixture
def seen(tmp_path, monkeypatch):
    """The arguments with which a training would begin, in an empty folder."""
    found = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("kvae.cli.train.run_training", lambda *arguments: found.append(arguments))
    return found


def train(text, *arguments):
    with open("c.toml", "w") as file:
        file.write(text)
    return CliRunner().invoke(main, ["train", "--config", "c.toml", *arguments])


def test_keys_are_the_names_of_options_with_either_sign(seen):
    text = 'latent-dim = 4\nbatch_size = 64\nbeta = 2\nlearning_rate = 1e-4\nconditional = true\nprior = "flow"\n'
    assert train(text + 'image_size = 28\ndata = "pngs"').exit_code == 0
    settings = {"latent_dim": 4, "batch_size": 64, "beta": 2.0, "learning_rate": 1e-4, "conditional": True}
    settings |= {"prior": "flow", "image_size": "28", "data": "pngs"}
    assert seen[0][0] == from_settings(settings)


def test_the_command_line_wins_over_the_file_and_the_file_over_the_recipe(seen):
    text = 'recipe = "fashion_mnist_vae"\nepochs = 40\nlatent_dim = 4'
    assert train(text, "--epochs", "50").exit_code == 0
    assert seen[0][0] == recipes.resolve("fashion_mnist_vae", {"latent_dim": 4, "epochs": 50})
    assert train(text, "--recipe", "fashion_mnist_quick").exit_code == 0
    assert seen[1][0] == recipes.resolve("fashion_mnist_quick", {"latent_dim": 4, "epochs": 40})


def test_options_that_are_no_settings_can_stand_in_the_file_too(seen):
    assert train('out = "runs/x"\ndevice = "cpu"\nregularizer = "none"\ndata_dir = "d"\nthreads = 1').exit_code == 0
    config, out, data_dir, device, *_ = seen[0]
    assert (config, str(out), str(data_dir), device) == (TrainConfig(beta=0.0), "runs/x", "d", "cpu")


def test_an_empty_file_changes_nothing(seen):
    assert train("# nothing").exit_code == 0
    assert seen[0][0] == recipes.resolve("fashion_mnist_quick", {})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("latentdim = 4", ["'latentdim'", "Did you mean latent_dim?"]),
        ("resume = 'r'", ["'resume'"]),
        ("config = 'c'", ["'config'"]),
        ("[model]\nlatent_dim = 4", ["'model'"]),
        ("latent_dim = 4\nlatent-dim = 5", ["latent-dim", "twice"]),
        ("epochs = '3'", ["epochs must be an integer", "3 (text)"]),
        ("epochs = 2.5", ["epochs must be an integer", "2.5 (a number)"]),
        ("epochs = true", ["epochs must be an integer", "True (true or false)"]),
        ("epochs = 0", ["epochs must be an integer of at least 1", "got 0"]),
        ("beta = nan", ["beta must be a number", "nan"]),
        ("beta = [1, 2]", ["beta must be a number", "a list"]),
        ("conditional = 'yes'", ["conditional must be true or false"]),
        ("prior = 'mixtur'", ["prior", "'mixtur'", "Did you mean mixture?"]),
        ("recipe = 'quick'", ["recipe", "Did you mean fashion_mnist_quick?"]),
        ("threads = 0", ["threads", "0"]),
        ("out = '-'", ["out", "'-'"]),
        ("kl_warmup_epochs = 30", ["kl_warmup_epochs must be less than epochs", "Some settings come from c.toml"]),
        ("epochs = ", ["is not TOML"]),
        ("a = 1\na = 2", ["is not TOML"]),
    ],
)
def test_each_error_is_one_line_with_the_file_and_the_key(seen, text, words):
    result = train(text)
    assert (result.exit_code, result.stdout, seen) == (1, "", [])
    (line,) = result.stderr.splitlines()
    assert all(word in line for word in ["c.toml", *words])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: None, "No such file"),
        (lambda path: path.mkdir(), "not a regular file"),
        (lambda path: os.mkfifo(path), "not a regular file"),
        (lambda path: path.write_bytes(b"dataset = '\xff'"), "is not TOML"),
        (lambda path: path.write_bytes(b"#" * 1_000_001), "more than 1,000,000 bytes"),
        (lambda path: path.write_bytes(b"a = " + b"[" * 5000), "is not TOML"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_line(seen, tmp_path, make, words):
    make(tmp_path / "c.toml")
    result = CliRunner().invoke(main, ["train", "--config", "c.toml"])
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert "c.toml" in line and words in line


def test_a_run_is_resumed_without_a_file(seen):
    assert train("", "--resume", "r").exit_code == 2
