"""Execute the notebooks in notebooks/, each in an empty folder, and keep their outputs: what the reader sees.

    python scripts/run_notebooks.py              # all of them
    python scripts/run_notebooks.py NAME ...     # these alone

Look at the pictures before you commit them.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).parent.parent / "notebooks"
SECONDS = 600
"""The longest that one cell may take."""


def executed(path: Path, folder: Path) -> nbformat.NotebookNode:
    """A notebook after all of its cells were run in a folder; `kvae` there is that of this Python.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed.
    """
    notebook = nbformat.read(path, as_version=4)
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    client = NotebookClient(notebook, timeout=SECONDS, kernel_name="python3")
    client.execute(env={**os.environ, "PATH": programs}, cwd=str(folder))
    for cell in notebook.cells:
        cell.metadata = {}  # the times
        if cell.cell_type == "code":
            cell.outputs = kept(cell.outputs)
    notebook.metadata["language_info"] = {"name": "python"}
    return notebook


def kept(outputs: list[nbformat.NotebookNode]) -> list[nbformat.NotebookNode]:
    """The outputs of a cell for readers: what was printed in one piece, and each picture once, as a PNG.

    What was printed on stderr is left out: progress, and libraries' remarks about this machine.
    """
    found: list[nbformat.NotebookNode] = []
    for output in outputs:
        if output.get("name") == "stderr":
            continue
        if output.output_type == "stream" and found and found[-1].output_type == "stream":
            found[-1].text += output.text
            continue
        output.get("data", {}).pop("image/jpeg", None)
        found.append(output)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = sorted(path.stem for path in FOLDER.glob("*.ipynb"))
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"Of {', '.join(known)}; by default all.")
    for name in parser.parse_args().names or known:
        path = FOLDER / f"{name}.ipynb"
        with tempfile.TemporaryDirectory() as folder:
            notebook = executed(path, Path(folder))
        nbformat.write(notebook, path)
        print(path.name, f"{path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
