"""Typing errors in verbs, options and values are answered with what was meant."""

import pytest
from click.testing import CliRunner

from kvae.cli.main import VERBS, main
from kvae.cli.suggestions import ELSEWHERE


def error_of(line):
    result = CliRunner().invoke(main, line.split())
    assert (result.exit_code, result.stdout) == (2, "")
    (error,) = result.stderr.splitlines()
    return error


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("trian", "'kvae train'"),
        ("sampel", "'kvae sample'"),
        ("fitprior", "'kvae fit-prior'"),
        ("eval", "'kvae evaluate'"),
        ("generate", "'kvae sample'"),
        ("data inspct", "'inspect'"),
        ("train --latentdim 4", "'--latent-dim'"),
        ("train --latent_dim 4", "'--latent-dim'"),
        ("train --epoch 4", "'--epochs'"),
        ("train --lr 0.1", "'--learning-rate'"),
        ("sample --nn 3", "'--n'"),
        ("--versoin", "'--version'"),
        ("train --prior mixtur", "mixture"),
        ("train --prior standard-normal", "standard_normal"),
        ("train --recipe quick", "fashion_mnist_quick"),
        ("sample --device gpu", "cuda"),
        ("score x --statistic typical", "typicality"),
        ("export r --out b --precision float-16", "float16"),
    ],
)
def test_what_was_meant_is_suggested_alone(line, meant):
    error = error_of(line)
    assert error.count("Did you mean") == 1
    assert f"Did you mean {meant}?" in error


@pytest.mark.parametrize("line", ["xyz", "train --zzz 3", "train --prior q"])
def test_nothing_is_suggested_if_nothing_is_near(line):
    assert "Did you mean" not in error_of(line)


@pytest.mark.parametrize("line", ["train fashion_mnist", "train --seed x", "train --zzz"])
def test_each_sentence_of_an_error_ends(line):
    assert ". Try 'kvae train --help'." in error_of(line)


def test_words_of_other_programs_lead_to_verbs_that_exist():
    assert {meant.split()[0] for meant in ELSEWHERE.values()} <= set(VERBS)
    assert not set(ELSEWHERE) & set(VERBS)
