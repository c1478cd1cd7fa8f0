"""The lines and the bar of a training fit the terminal, however narrow it is."""

import numpy as np
import pytest
from rich.text import Text

from kvae.training import progress

PARTS = [
    "epoch 20/20", "13,452 images/s", "elbo -238.55", "rate 13.60", "distortion 224.95", "val_elbo -236.23",
    "2:10 left",
]  # fmt: skip


@pytest.mark.parametrize("width", [20, 30, 50, 80, 100, 200])
def test_a_line_is_broken_only_between_its_parts(width):
    lines = progress._epoch_line(PARTS, width).split("\n")
    assert all(len(line) <= width for line in lines)
    assert [part for part in PARTS if part in "\n".join(lines)][0] == "epoch 20/20"
    for figure in PARTS[2:6]:
        assert any(figure in line for line in lines)


def test_at_80_columns_it_is_one_line():
    assert "\n" not in progress._epoch_line(PARTS, 80)


def test_a_file_gets_all_of_it():
    assert progress._epoch_line(PARTS, None) == "  ".join(PARTS)


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0:00"), (42, "0:42"), (725, "12:05"), (11045, "3:04:05")])
def test_times(seconds, text):
    assert progress.clock(seconds) == text


class FakeVariable(np.int64):
    def numpy(self):
        return self


class Optimizer:
    iterations = FakeVariable(50)


class Model:
    optimizer = Optimizer()
    stop_training = False


@pytest.mark.parametrize("width", [40, 50, 80, 160])
def test_the_bar_takes_one_line(monkeypatch, width):
    """Drawn as in a terminal of this width; the most important figures stay."""
    monkeypatch.setenv("TERM", "xterm")
    shown = progress.TrainingProgress(100, epochs=300)
    shown._console.width = width
    shown._console._force_terminal = True
    shown._bar.disable = False
    shown.set_model(Model())
    shown.set_params({"steps": 60, "epochs": 300})
    shown._task = shown._bar.add_task("", figures="", total=None)
    shown.on_epoch_begin(199)
    for batch in range(3):
        shown.on_train_batch_end(batch, {"elbo": -1238.55, "rate": 113.6, "distortion": 1124.9})
    with shown._console.capture() as capture:
        shown._console.print(shown._bar.get_renderable(), end="")
    lines = Text.from_ansi(capture.get()).plain.rstrip("\n").split("\n")
    assert len(lines) == 1 and len(lines[0]) <= width
    assert lines[0].startswith("epoch 200/300 ") and "left" in lines[0]
    if width >= 50:
        assert "elbo -1238.6" in lines[0] or "elbo -1238.5" in lines[0]


def watched(epochs, made, **settings):
    """A whole training, in epochs `made` of `epochs`, with one call each."""
    shown = progress.TrainingProgress(100, epochs=epochs, **settings)
    shown.set_model(Model())
    shown.set_params({"steps": 1, "epochs": epochs})
    shown.on_train_begin()
    for epoch in made:
        shown.on_epoch_begin(epoch)
        shown.on_train_batch_end(0, {"elbo": -1.0})
        shown.on_test_begin()
        shown.on_epoch_end(epoch, {"elbo": -1.0})
    shown.on_train_end()
    shown.close()


def test_without_a_terminal_the_phases_are_plain_lines(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")  # as on build servers, whose logs are files
    begun = []
    watched(2, [0, 1], note="a note", before=lambda: begun.append(capsys.readouterr().err))
    text = capsys.readouterr().err
    lines = text.splitlines()
    assert begun == [""] and lines[:2] == ["a note", f"{progress.COMPILING} ..."]
    assert [line[:9] for line in lines[2:-1]] == ["epoch 1/2", "epoch 2/2"]
    assert lines[-1] == f"{progress.FINISHING} ..."
    assert all(line.isprintable() for line in lines)


def test_what_follows_an_epoch_s_rest_is_not_called_the_end(capsys):
    watched(3, [0])
    assert progress.FINISHING not in capsys.readouterr().err


def test_a_sweep_has_no_lines(capsys):
    watched(1, [0], lines=False)
    assert capsys.readouterr().err == ""
