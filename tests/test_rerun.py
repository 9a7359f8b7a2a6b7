"""The two ways to rerun a notebook without make: papermill from the top folder, and a kernel started in notebooks/."""

import json
import os
import subprocess
import sys

import nbformat
from nbclient import NotebookClient

from press.plan.settings import ROOT


def published() -> dict:
    """Name and bytes of every file of the published edition."""
    folder = ROOT / "book" / "published"
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_papermill_reruns_a_figure_from_the_top_folder(tmp_path):
    before = published()
    command = [sys.executable, "-m", "papermill", "notebooks/surfaces.ipynb", str(tmp_path / "mine.ipynb"), "-k", "python3",
               "-p", "artifact", "fig06", "-p", "out", str(tmp_path / "mine"), "-p", "steps", "7"]  # fmt: skip
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    record = json.loads((tmp_path / "mine" / "fig06.json").read_text())
    assert record["parameters"]["steps"] == 7 and record["profile"] == "smoke"
    assert published() == before


def test_a_kernel_in_the_notebooks_folder_reruns_a_figure(tmp_path):
    before = published()
    notebook = nbformat.read(ROOT / "notebooks" / "surfaces.ipynb", as_version=4)
    (cell,) = (cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", []))
    cell.source += f"\nsteps = 7\nout = {str(tmp_path)!r}\n"  # what a reader types in JupyterLab
    client = NotebookClient(notebook, kernel_name="python3", resources={"metadata": {"path": str(ROOT / "notebooks")}})
    client.execute(env=os.environ | {"PYTHONPATH": str(ROOT)})
    record = json.loads(next(tmp_path.glob("*.json")).read_text())
    assert record["parameters"]["steps"] == 7
    assert published() == before
