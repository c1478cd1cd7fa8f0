"""What is public is handed on by the folders' faces, and readers are shown nothing else."""

import ast
import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = sorted(path.parent.name for path in (ROOT / "kvae").glob("*/__init__.py"))
ALONE = {"kvae", "kvae.config", "kvae.errors", "kvae.recipes", "kvae.settings", "kvae.testing"}
EMPTY = {"bundle", "files"}
"""Faces that hand on nothing, so that `kvae sample` loads little."""
SHOWN = {
    f"{path.relative_to(ROOT)}": path.read_text()
    for path in [
        ROOT / "README.md", ROOT / "kvae" / "testing.py", *(ROOT / "docs").glob("*.md"),
        *(ROOT / "examples").glob("*/*.py"), *(ROOT / "examples").glob("*/*.md"),
        *(ROOT / "exported").glob("*/README.md"),
    ]
}  # fmt: skip


def python(name, text):
    """The Python in a document, or a module itself."""
    return [text] if name.endswith(".py") else re.findall(r"```python\n(.*?)```", text, re.DOTALL)


@pytest.mark.parametrize("name", SHOWN)
def test_readers_are_shown_faces_alone(name):
    faces = ALONE | {f"kvae.{folder}" for folder in FOLDERS}
    for block in python(name, SHOWN[name]):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "kvae":
                assert node.module in faces, node.module
            if isinstance(node, ast.Import):
                ours = {alias.name for alias in node.names if alias.name.partition(".")[0] == "kvae"}
                assert ours <= faces


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
