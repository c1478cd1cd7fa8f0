"""What is public is handed on by the folders' faces, and readers are shown nothing else."""

import ast
import importlib
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = sorted(path.parent.name for path in (ROOT / "kvae").glob("*/__init__.py"))
ALONE = {"kvae", "kvae.config", "kvae.errors", "kvae.recipes", "kvae.settings", "kvae.testing"}
FACES = ALONE | {f"kvae.{folder}" for folder in FOLDERS}
EMPTY = {"bundle", "files", "machine"}
"""Faces that hand on nothing, so that `kvae sample` loads little."""
SHOWN = {
    f"{path.relative_to(ROOT)}": path.read_text()
    for path in [
        ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "benchmarks" / "README.md", ROOT / "kvae" / "testing.py",
        *(ROOT / "docs").glob("*.md"),
        *(ROOT / "notebooks").glob("*.ipynb"), *(ROOT / "examples").glob("*/*.py"), *(ROOT / "examples").glob("*/*.md"),
        *(ROOT / "exported").glob("*/README.md"),
    ]
}  # fmt: skip


def python(name, text):
    """The Python in a document or a notebook, or a module itself."""
    if name.endswith(".ipynb"):
        cells = ["".join(cell["source"]) for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
        return [code for code in cells if not code.startswith("%%sh")]
    return [text] if name.endswith(".py") else re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def imports(code):
    """Each import of kvae in some Python, as a module and the name taken from it, or None."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom):
            found = [(node.module or "", alias.name) for alias in node.names]
        else:
            found = [(alias.name, None) for alias in node.names] if isinstance(node, ast.Import) else []
        yield from ((module, name) for module, name in found if module.partition(".")[0] == "kvae")


def is_offered(module, name):
    """Whether a face, or a module that stands alone, has this name to import; `kvae` itself has the faces."""
    if module not in FACES:
        return False
    if name is None or f"{module}.{name}" in FACES:
        return True
    offered = importlib.import_module(module)
    return name in offered.__all__ if hasattr(offered, "__all__") else hasattr(offered, name)


@pytest.mark.parametrize("name", SHOWN)
def test_readers_are_shown_faces_alone_and_names_that_are_there(name):
    for code in python(name, SHOWN[name]):
        assert [found for found in imports(code) if not is_offered(*found)] == []


@pytest.mark.parametrize(
    ("code", "refused"),
    [
        ("from kvae import datasets, steps, strategies", ["datasets", "strategies"]),
        ("from kvae.steps import FusedAdam, strategies", ["strategies"]),
        ("from kvae.data import load, loads", ["loads"]),
        ("from kvae.config import TrainConfig, TrainingConfig", ["TrainingConfig"]),
        ("import kvae.data, os", []),
        ("import kvae.steps.strategies", [None]),
    ],
)
def test_a_name_that_no_face_offers_is_refused(code, refused):
    assert [name for module, name in imports(code) if not is_offered(module, name)] == refused


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_face_is_what_it_imports_and_shadows_no_module(folder):
    face = importlib.import_module(f"kvae.{folder}")
    path = Path(face.__file__)
    public = set(getattr(face, "__all__", ()))
    own = {node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)}
    imported = {
        alias.asname or alias.name
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ImportFrom) and node.module.startswith("kvae.") and node.module != "kvae.config"
        for alias in node.names
    }
    assert public - own <= imported if own else public == imported
    modules = {entry.stem for entry in path.parent.iterdir() if entry.suffix == ".py" or (entry / path.name).exists()}
    assert not public & modules
    assert (public == set()) == (folder in EMPTY)
