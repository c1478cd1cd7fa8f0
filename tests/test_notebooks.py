"""The notebooks run from an empty folder, and are committed with what they print and draw."""

import importlib.util
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parent.parent
SPEC = importlib.util.spec_from_file_location("run_notebooks", ROOT / "scripts" / "run_notebooks.py")
run_notebooks = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(run_notebooks)
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
MAX_BYTES = 200_000


def outputs(notebook):
    """What the cells print or draw, each output by its kinds."""
    found = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return [set(output.get("data", [output.output_type])) for output in found]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_small_and_has_its_outputs_and_no_trace_of_where_it_ran(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    counts = [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1))  # each once, in their order
    assert any("image/png" in kinds for kinds in outputs(notebook))
    text = path.read_text()
    assert len(text) < MAX_BYTES and "/tmp/" not in text and "/home/" not in text and '"stderr"' not in text


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_gives_outputs_of_the_same_kinds(path, tmp_path):
    found = run_notebooks.executed(path, tmp_path)
    assert outputs(found) == outputs(nbformat.read(path, as_version=4))


def test_what_is_kept_of_outputs_does_not_depend_on_timing():
    printed = [nbformat.v4.new_output("stream", name=name, text=text) for name, text in (
        ("stdout", "a\nb"), ("stderr", "50 %"), ("stdout", "c\n"),
    )]  # fmt: skip
    drawn = nbformat.v4.new_output("display_data", {"image/png": "AA", "image/jpeg": "BB", "text/plain": "<Image>"})
    text, picture = run_notebooks.kept([*printed, drawn])
    assert text.text == "a\nbc\n" and set(picture.data) == {"image/png", "text/plain"}


def test_there_are_notebooks():
    assert len(NOTEBOOKS) >= 3
