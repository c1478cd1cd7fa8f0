"""Who may import whom: a table of folders, each wholly in one world."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ALONE = {"__init__", "__main__", "config", "errors", "families", "recipes", "settings", "testing"}
"""The modules that stand in `kvae/` itself."""
TRAINING = {"steps", "model", "export", "training", "comparison"}
"""The folders that need TensorFlow; importing any other loads none of it."""
TABLE = {
    "files": set(),
    "likelihoods": set(),
    "bundle": {"files", "likelihoods"},
    "data": {"bundle", "files"},
    "runtime": {"bundle", "data", "files"},
    "evaluation": {"bundle", "data", "files", "runs", "runtime"},
    "checks": {"bundle", "data", "files", "runtime"},
    "conversion": {"bundle", "data", "evaluation", "files", "runtime"},
    "explorer": {"bundle", "files", "runtime"},
    "runs": {"bundle", "files"},
    "steps": {"files"},
    "model": {"bundle", "likelihoods", "steps"},
    "export": {"bundle", "conversion", "files", "likelihoods", "model", "runtime"},
    "training": {"bundle", "checks", "data", "evaluation", "export", "files", "model", "runs", "runtime", "steps"},
    "comparison": {"bundle", "data", "evaluation", "files", "runs", "runtime", "training"},
}
"""For each folder those that its modules import, besides the modules of `ALONE`, at their top or in a function."""
HEAVY = {
    "keras", "matplotlib", "onnx", "pandas", "pyarrow", "ray", "rich", "tensorflow", "tensorflow_probability",
    "tf2onnx", "tf_keras",
}  # fmt: skip
WITHOUT_TENSORFLOW = {"matplotlib", "onnx"}
"""What modules of the light world may import at their top all the same: those that draw pages, and those that
convert."""


def modules(folder):
    """The modules of a folder of kvae."""
    return sorted((ROOT / "kvae" / folder).glob("*.py"))


def imports(path, inside_functions=True):
    """The dotted names that a module imports: "kvae.files.atomic", "numpy"."""
    tree = ast.parse(path.read_text())
    if not inside_functions:
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                node.body = []
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            is_package = (ROOT / node.module.replace(".", "/")).is_dir()
            found |= {f"{node.module}.{alias.name}" if is_package else node.module for alias in node.names}
    return found


def folders(path):
    """The folders of kvae that a module imports from."""
    parts = (name.split(".") for name in imports(path))
    return {part[1] for part in parts if part[0] == "kvae" and len(part) > 1 and part[1] in TABLE}


def test_the_table_names_every_folder_and_the_modules_beside_them():
    on_disk = {path.parent.name for path in (ROOT / "kvae").glob("*/__init__.py")}
    assert on_disk == set(TABLE)
    assert {path.stem for path in (ROOT / "kvae").glob("*.py")} == ALONE


@pytest.mark.parametrize("folder", sorted(TABLE))
def test_a_folder_imports_what_the_table_allows(folder):
    found = set().union(*map(folders, modules(folder)))
    assert found - {folder} <= TABLE[folder]


def test_imports_between_folders_run_one_way():
    edges = {name: {other for other in others} for name, others in TABLE.items()}
    assert list(TopologicalSorter(edges).static_order())


@pytest.mark.parametrize("folder", sorted(TABLE))
def test_imports_within_a_folder_run_one_way(folder):
    names = {path.stem for path in modules(folder)} - {"__init__"}
    prefix = f"kvae.{folder}."
    edges = {
        path.stem: {name.removeprefix(prefix) for name in imports(path) if name.startswith(prefix)} & names
        for path in modules(folder)
        if path.stem != "__init__"
    }
    assert list(TopologicalSorter(edges).static_order()) or not edges


@pytest.mark.parametrize("folder", sorted(set(TABLE) - TRAINING))
def test_a_folder_of_the_light_world_imports_none_of_the_other(folder):
    assert not TABLE[folder] & TRAINING
    for path in modules(folder):
        heavy = {name.partition(".")[0] for name in imports(path, inside_functions=False)} & HEAVY
        assert heavy <= WITHOUT_TENSORFLOW, path


@pytest.mark.parametrize(
    "module",
    [
        "kvae", "kvae.runtime.bundle", "kvae.files.output", "kvae.bundle.locate", "kvae.bundle.summary",
        "kvae.evaluation.evaluation", "kvae.runtime.scores", "kvae.runtime.codes", "kvae.runtime.paths",
        "kvae.cli.images", "kvae.checks.verification", "kvae.checks.doctor", "kvae.cli.checks",
        "kvae.runtime.ray_engine", "kvae.cli.bulk", "kvae.runs.files", "kvae.runs.listing", "kvae.settings",
        "kvae.cli.runs", "kvae.explorer.pages", "kvae.cli.explore", "kvae.cli.export", "kvae.cli.evaluate",
        "kvae.cli.main",
    ],
)  # fmt: skip
def test_the_runtime_world_loads_nothing_heavy(module):
    code = f"import sys, {module}; print(*[name for name in {sorted(HEAVY)!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_help_loads_no_verb():
    """A verb's module is imported when it is called: `kvae --help` has no settings, no manifest and no numpy."""
    code = (
        "import sys, kvae.cli.main; print(*(m for m in sys.modules if m.split('.')[0] in ('kvae', 'numpy', 'shutil')))"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == {
        "kvae", "kvae.cli", "kvae.cli.group", "kvae.cli.main", "kvae.cli.verbs", "kvae.errors"
    }  # fmt: skip
