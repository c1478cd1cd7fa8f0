"""Who may import whom: the table that keeps the training and the runtime world apart."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ANY_TRAINING = {"tensorflow", "tensorflow_probability", "keras"}

# For each module: the modules of kvae, and the third parties, that it may import at its top.
TABLE = {
    "__init__": (set(), set()),
    "__main__": ({"cli"}, set()),
    "errors": (set(), set()),
    "caveats": (set(), set()),
    "config": ({"errors"}, set()),
    "recipes": ({"config", "errors"}, set()),
    "manifest_fields": (set(), set()),
    "manifest": ({"errors", "manifest_fields"}, set()),
    "atomic": ({"errors"}, set()),
    "locks": ({"errors"}, set()),
    "interrupts": (set(), set()),
    "run_files": ({"config", "errors", "locate", "locks", "manifest"}, set()),
    "run_list": ({"caveats", "errors", "run_files"}, set()),
    "settings": ({"config", "errors"}, set()),
    "html_page": (set(), {"matplotlib", "PIL"}),
    "locate": ({"errors", "manifest"}, set()),
    "card": ({"caveats", "manifest", "onnxruntime_web"}, set()),
    "summary": ({"caveats", "manifest"}, set()),
    "noise": ({"errors"}, {"numpy"}),
    "onnx_fields": (set(), set()),
    "operators": ({"errors"}, set()),
    "onnx_scan": ({"errors", "manifest", "onnx_fields", "operators"}, set()),
    "runtime": ({"errors", "manifest", "noise", "onnx_scan"}, {"numpy", "onnxruntime"}),
    "picture_files": ({"errors"}, {"PIL"}),
    "pictures": ({"errors"}, {"numpy", "PIL"}),
    "output": ({"errors", "atomic", "pictures"}, {"numpy"}),
    "server": ({"errors"}, set()),
    "onnxruntime_web": ({"errors"}, set()),
    "explore": ({"atomic", "caveats", "errors", "onnxruntime_web", "runtime", "server"}, set()),
    "bundle_files": ({"errors", "manifest", "pictures", "runtime"}, {"numpy"}),
    "idx": ({"errors"}, {"numpy"}),
    "arrays": ({"atomic", "errors"}, {"numpy"}),
    "images": ({"arrays", "errors", "idx", "picture_files", "pictures"}, {"numpy", "PIL"}),
    "download": ({"errors", "atomic"}, set()),
    "folders": ({"errors"}, set()),
    "records": ({"errors", "folders", "picture_files"}, set()),
    "decoding": ({"config", "images", "picture_files", "pictures"}, {"PIL", "numpy"}),
    "sources": ({"arrays", "decoding", "errors", "folders", "idx", "images", "records"}, {"numpy"}),
    "splits": (set(), {"numpy"}),
    "preparation": ({"config", "decoding", "errors", "folders", "sources", "splits"}, {"numpy"}),
    "image_cache": (
        {"atomic", "config", "decoding", "download", "errors", "folders", "preparation", "sources", "splits"},
        {"numpy"},
    ),
    "memory": (set(), set()),
    "decoded": ({"config", "errors", "folders", "image_cache", "memory", "preparation", "splits"}, {"numpy"}),
    "inspection": ({"config", "decoding", "pictures", "preparation", "sources", "splits"}, {"PIL", "numpy"}),
    "datasets": (
        {"atomic", "config", "decoded", "download", "errors", "idx", "image_cache", "sources", "splits"},
        {"numpy"},
    ),
    "binarization": ({"errors", "datasets"}, {"numpy"}),
    "densities": ({"errors"}, {"numpy"}),
    "information": (set(), {"numpy"}),
    "energy": (set(), {"numpy"}),
    "importance": ({"densities", "noise", "runtime"}, {"numpy"}),
    "scoring": ({"binarization", "errors", "importance", "information", "manifest", "pictures", "runtime"},
                 {"numpy"}),
    "scores": ({"atomic", "errors", "images", "runtime", "scoring"}, set()),
    "codes": ({"arrays", "errors", "images", "runtime", "scoring"}, {"numpy"}),
    "shards": ({"atomic", "errors", "locks"}, set()),
    "bulk": (
        {"atomic", "codes", "errors", "images", "manifest", "output", "runtime", "scores", "shards"}, set(),
    ),
    "ray_engine": ({"bulk", "errors", "images"}, set()),
    "paths": ({"atomic", "errors", "images", "manifest", "output", "pictures", "runtime", "scoring"}, {"numpy"}),
    "evaluation": (
        {"binarization", "caveats", "config", "datasets", "densities", "errors", "importance", "information",
         "manifest", "pictures", "runtime"},
        {"numpy"},
    ),
    "parity": ({"errors"}, {"numpy"}),
    "file_checks": ({"errors", "manifest", "operators", "runtime"}, set()),
    "graph_checks": ({"arrays", "bundle_files", "errors", "file_checks", "manifest", "noise", "parity", "runtime"},
                      {"numpy"}),
    "verification": ({"errors", "file_checks", "graph_checks", "runtime"}, set()),
    "requirements": (set(), {"packaging"}),
    "providers": (set(), {"numpy"}),
    "doctor": (
        {"", "datasets", "download", "errors", "locate", "manifest", "providers", "requirements"},
        set(),
    ),
    "precision": ({"errors"}, {"numpy", "onnx"}),
    "graph_files": ({"bundle_files", "errors", "manifest", "runtime"}, {"onnx", "onnxruntime"}),
    "quantization": ({"errors"}, {"numpy", "onnx"}),
    "fidelity": ({"errors", "evaluation", "noise", "parity", "pictures", "runtime"}, {"numpy"}),
    "conversion": (
        {"", "atomic", "binarization", "bundle_files", "card", "errors", "evaluation", "fidelity", "graph_files",
         "manifest", "operators", "parity", "pictures", "precision", "quantization", "runtime", "scoring"},
        {"numpy", "onnx"},
    ),
    "likelihoods": ({"errors"}, ANY_TRAINING),
    "priors": ({"errors"}, ANY_TRAINING | {"numpy"}),
    "divergences": (set(), ANY_TRAINING),
    "networks": ({"config", "likelihoods"}, ANY_TRAINING),
    "optimizers": ({"errors"}, ANY_TRAINING),
    "cluster": ({"errors"}, set()),
    "replicas": (set(), {"tensorflow"}),
    "batches": (set(), ANY_TRAINING | {"numpy"}),
    "strategies": ({"batches", "cluster", "errors"}, {"tensorflow"}),
    "vae": ({"batches", "errors", "divergences", "networks", "optimizers", "priors", "replicas"}, ANY_TRAINING),
    "training": (
        {"batches", "binarization", "config", "errors", "datasets", "networks", "optimizers", "priors", "replicas",
         "strategies", "vae"},
        ANY_TRAINING | {"numpy"},
    ),
    "graphs": ({"errors", "likelihoods", "vae"}, ANY_TRAINING | {"numpy", "onnx", "tf2onnx"}),
    "proof": (
        {"errors", "graphs", "likelihoods", "manifest", "noise", "operators", "parity", "runtime", "vae"},
        {"numpy", "onnx", "tensorflow"},
    ),
    "progress": (set(), {"keras", "rich"}),
    "curves": (set(), {"matplotlib", "numpy"}),
    "callbacks": ({"atomic", "errors", "noise", "pictures", "vae"}, ANY_TRAINING | {"numpy", "PIL"}),
    "keras_files": ({"errors", "vae"}, {"keras"}),
    "checkpoints": ({"atomic", "errors", "interrupts", "vae"}, {"keras"}),
    "skipped": ({"atomic", "errors", "run_files"}, {"keras"}),
    "run_report": (
        {"atomic", "caveats", "config", "curves", "errors", "html_page", "locate", "manifest", "run_files", "settings"},
        {"PIL"},
    ),
    "reference": (
        {"arrays", "bundle_files", "information", "likelihoods", "noise", "scoring", "vae"},
        {"numpy", "tensorflow"},
    ),
    "export": (
        {"", "atomic", "bundle_files", "card", "errors", "graph_files", "graphs", "likelihoods", "manifest",
         "parity", "priors", "proof", "reference", "runtime", "scoring", "vae"},
        {"numpy", "onnx"},
    ),
    "runs": (
        {"", "atomic", "binarization", "callbacks", "checkpoints", "config", "curves", "datasets", "decoded", "errors",
         "evaluation", "export", "interrupts", "keras_files", "locate", "locks", "pictures", "run_files", "run_report",
         "runtime", "skipped", "training"},
        {"keras", "numpy", "tensorflow"},
    ),
    "comparison": (
        {"binarization", "caveats", "config", "datasets", "energy", "errors", "evaluation", "manifest", "noise",
         "pictures", "run_files", "runs", "runtime", "training"},
        {"keras", "numpy"},
    ),
    "figures": ({"comparison"}, {"matplotlib", "numpy"}),
    "report": ({"", "atomic", "comparison", "evaluation", "figures", "html_page", "pictures"}, {"PIL"}),
    "testing": ({"errors", "parity", "proof", "runs", "runtime", "vae"}, {"numpy"}),
    "cli/__init__": (set(), set()),
    "cli/group": ({"errors"}, {"click"}),
    "cli/options": ({"config"}, {"click"}),
    "cli/explore": ({"cli"}, {"click"}),
    "cli/export": ({"cli", "locate", "manifest"}, {"click"}),
    "cli/checks": ({"cli"}, {"click"}),
    "cli/runs": ({"cli"}, {"click"}),
    "cli/bulk": ({"cli", "errors"}, {"click"}),
    "cli/data": ({"cli", "config", "errors"}, {"click"}),
    "cli/terminal": (set(), {"click"}),
    "cli/images": ({"cli", "errors"}, {"click"}),
    "cli/main": ({"", "cli", "config", "recipes"}, {"click"}),
    "cli/train": ({"caveats", "cli", "config"}, {"click"}),
    "cli/evaluate": ({"cli", "locate"}, {"click"}),
    "cli/compare": ({"cli", "errors"}, {"click"}),
}  # fmt: skip

SOURCES = {f"{path.stem}": path for path in (ROOT / "kvae").glob("*.py")} | {
    f"cli/{path.stem}": path for path in (ROOT / "cli").glob("*.py")
}
HEAVY = (
    "ray",
    "pandas",
    "pyarrow",
    "tensorflow",
    "keras",
    "tf_keras",
    "tensorflow_probability",
    "tf2onnx",
    "onnx",
    "matplotlib",
    "rich",
)


def top_level_imports(path):
    """Modules of kvae ("" for kvae itself) and third parties imported outside of functions."""
    ours, others = set(), set()
    for node in ast.walk(ast.Module(ast.parse(path.read_text()).body, [])):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            for inner in ast.walk(node):
                inner.skip = True
        if getattr(node, "skip", False):
            continue
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == "kvae":
            names = [
                f"kvae.{alias.name}" if (ROOT / "kvae" / f"{alias.name}.py").exists() else "kvae"
                for alias in node.names
            ]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module]
        else:
            continue
        for name in names:
            top, _, rest = name.partition(".")
            if top == "kvae":
                ours.add(rest.partition(".")[0])
            elif top not in sys.stdlib_module_names:
                others.add(top)
    return ours, others


def test_the_table_names_every_module():
    assert set(SOURCES) == set(TABLE)


@pytest.mark.parametrize("module", sorted(TABLE))
def test_a_module_imports_what_the_table_allows(module):
    ours, others = top_level_imports(SOURCES[module])
    allowed_ours, allowed_others = TABLE[module]
    assert ours == allowed_ours
    assert others <= allowed_others


def test_imports_run_one_way():
    """The modules can be put in an order in which each imports only those before it."""
    edges = {name: {other for other in ours if other in TABLE} for name, (ours, _) in TABLE.items()}
    assert list(TopologicalSorter(edges).static_order())


def test_every_module_has_a_test():
    """tests/test_<module>.py mirrors kvae/<module>.py; figures, say, are tested with report."""
    elsewhere = {
        "__init__",
        "__main__",
        "errors",
        "manifest_fields",
        "onnx_fields",
        "file_checks",
        "graph_checks",
        "summary",
        "curves",
        "progress",
        "figures",
    }
    names = {name for name in TABLE if not name.startswith("cli/")} - elsewhere
    assert {name for name in names if not (ROOT / "tests" / f"test_{name}.py").exists()} == set()


@pytest.mark.parametrize(
    "module",
    [
        "kvae",
        "kvae.runtime",
        "kvae.output",
        "kvae.locate",
        "kvae.summary",
        "kvae.evaluation",
        "kvae.scores",
        "kvae.codes",
        "kvae.paths",
        "kvae.cli.images",
        "kvae.verification",
        "kvae.doctor",
        "kvae.cli.checks",
        "kvae.ray_engine",
        "kvae.cli.bulk",
        "kvae.run_files",
        "kvae.run_list",
        "kvae.settings",
        "kvae.cli.runs",
        "kvae.explore",
        "kvae.cli.explore",
        "kvae.cli.export",
        "kvae.cli.evaluate",
        "kvae.cli.main",
    ],
)
def test_the_runtime_world_loads_nothing_heavy(module):
    code = f"import sys, {module}; print(*[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_help_loads_settings_and_commands_alone():
    """What a command needs is imported in it: `kvae --help` reads no manifest, and loads no numpy."""
    code = (
        "import sys, kvae.cli.main; print(*(m for m in sys.modules if m.split('.')[0] in ('kvae', 'numpy', 'shutil')))"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    loaded = {name for name in done.stdout.split() if not name.startswith("kvae.cli")}
    assert loaded == {"kvae", "kvae.config", "kvae.errors", "kvae.recipes"}
