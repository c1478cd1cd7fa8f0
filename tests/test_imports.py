"""Which folder may import which: a table of folders, each of which either needs TensorFlow or does not."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ALONE = {
    "__init__", "__main__", "config", "errors", "families", "numbers", "recipes", "settings", "testing",
}  # fmt: skip
"""The modules in `kvae/` itself."""
TRAINING = {"steps", "model", "export", "training", "comparison"}
"""The folders that need TensorFlow; importing any other folder does not load it."""
TABLE = {
    "files": set(),
    "machine": set(),
    "pyinstaller": set(),
    "likelihoods": set(),
    "bundle": {"files", "likelihoods"},
    "data": {"bundle", "files", "machine"},
    "runtime": {"bundle", "data", "files", "machine"},
    "detection": {"bundle", "data", "files", "machine", "runtime"},
    "evaluation": {"bundle", "data", "files", "machine", "runs", "runtime"},
    "checks": {"bundle", "data", "files", "machine", "runtime"},
    "conversion": {"bundle", "data", "evaluation", "files", "runtime"},
    "compression": {"bundle", "data", "files", "likelihoods", "machine", "runtime"},
    "serving": {"bundle", "data", "files", "runtime"},
    "explorer": {"bundle", "data", "files", "runs", "runtime"},
    "runs": {"bundle", "files"},
    "steps": {"files", "machine"},
    "model": {"bundle", "likelihoods", "steps"},
    "export": {"bundle", "checks", "conversion", "files", "likelihoods", "model", "runtime", "steps"},
    "training": {
        "bundle",
        "checks",
        "data",
        "evaluation",
        "export",
        "files",
        "likelihoods",
        "machine",
        "model",
        "runs",
        "runtime",
        "steps",
    },
    "comparison": {"bundle", "data", "evaluation", "files", "runs", "runtime", "training"},
}
"""For each folder, the folders that its modules import from, at their top or in a function, besides `ALONE`."""
HEAVY = {
    "keras", "matplotlib", "onnx", "pandas", "pyarrow", "ray", "rich", "tensorflow", "tensorflow_probability",
    "tf2onnx", "tf_keras",
}  # fmt: skip
WITHOUT_TENSORFLOW = {"matplotlib", "onnx"}
"""What modules of folders without TensorFlow may still import at their top, because they draw pages or convert
graphs."""


def modules(folder):
    """The modules of a folder of kvae."""
    return sorted((ROOT / "kvae" / folder).glob("*.py"))


def modules_below(folder):
    """The modules of a folder of kvae and of its sub-folders."""
    return sorted((ROOT / "kvae" / folder).rglob("*.py"))


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


def test_the_table_names_every_folder_and_the_modules_next_to_them():
    on_disk = {path.parent.name for path in (ROOT / "kvae").glob("*/__init__.py")}
    assert on_disk == set(TABLE)
    assert {path.stem for path in (ROOT / "kvae").glob("*.py")} == ALONE


@pytest.mark.parametrize("folder", sorted(TABLE))
def test_a_folder_imports_only_what_the_table_allows(folder):
    found = set().union(*map(folders, modules_below(folder)))
    assert found - {folder} <= TABLE[folder]


def test_imports_between_folders_go_one_way():
    edges = {name: {other for other in others} for name, others in TABLE.items()}
    assert list(TopologicalSorter(edges).static_order())


@pytest.mark.parametrize("folder", sorted(TABLE))
def test_imports_within_a_folder_go_one_way(folder):
    names = {path.stem for path in modules(folder)} - {"__init__"}
    prefix = f"kvae.{folder}."
    edges = {
        path.stem: {name.removeprefix(prefix) for name in imports(path) if name.startswith(prefix)} & names
        for path in modules(folder)
        if path.stem != "__init__"
    }
    assert list(TopologicalSorter(edges).static_order()) or not edges


@pytest.mark.parametrize("folder", sorted(set(TABLE) - TRAINING))
def test_a_folder_without_tensorflow_imports_no_heavy_package(folder):
    assert not TABLE[folder] & TRAINING
    for path in modules_below(folder):
        heavy = {name.partition(".")[0] for name in imports(path, inside_functions=False)} & HEAVY
        assert heavy <= WITHOUT_TENSORFLOW, path


def test_folders_without_tensorflow_and_the_verbs_load_nothing_heavy():
    """All their modules in one fresh process, except those that draw and convert, and PyInstaller's hooks."""
    draws = {"kvae.runs.curves", "kvae.runs.report", "kvae.runs.html_page"}
    folders_tried = sorted(set(TABLE) - TRAINING - {"conversion", "pyinstaller"})
    light = [path for folder in folders_tried for path in modules_below(folder)]
    names = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in light}
    names |= {f"kvae.cli.{path.stem}" for path in (ROOT / "cli").glob("*.py")} | {f"kvae.{name}" for name in ALONE}
    names -= draws | {"kvae.__main__", "kvae.__init__", "kvae.cli.__init__", "kvae.testing"}
    code = (
        f"import sys, {', '.join(sorted(names))}; print(*[name for name in {sorted(HEAVY)!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_help_loads_no_verb():
    """A verb's module is imported when the verb runs: `kvae --help` loads no settings, no manifest and no numpy."""
    code = (
        "import sys, kvae.cli.main; print(*(m for m in sys.modules if m.split('.')[0] in ('kvae', 'numpy', 'shutil')))"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == {
        "kvae", "kvae.cli", "kvae.cli.group", "kvae.cli.main", "kvae.cli.signals", "kvae.cli.verbs", "kvae.errors"
    }  # fmt: skip
