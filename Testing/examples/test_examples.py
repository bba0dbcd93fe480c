"""The examples run as they stand, and show what they say."""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))


@pytest.fixture
def example(monkeypatch):
    """Return a function that imports an example as if its folder were the current one."""
    monkeypatch.syspath_prepend(EXAMPLES)
    before = set(sys.modules)
    yield importlib.import_module
    for name in set(sys.modules) - before:
        file = getattr(sys.modules[name], "__file__", None) or ""
        if Path(file).parent == EXAMPLES:
            del sys.modules[name]


def test_maps_are_separated_and_written(example, tmp_path, capsys):
    example("separate_maps").main(str(tmp_path))
    sidecar = json.loads((tmp_path / "sub-01_desc-paramagnetic_Chimap.json").read_text("utf-8"))
    assert sidecar["Units"] == "ppm"
    assert (tmp_path / "sub-01_desc-diamagnetic_Chimap.nii.gz").is_file()
    assert "chi_para: mean" in capsys.readouterr().out


def test_scan_goes_through_the_chain(example, tmp_path):
    example("run_pipeline").main(str(tmp_path))
    assert (tmp_path / "sub-01" / "sub-01_R2primemap.nii.gz").is_file()
    assert (tmp_path / "sub-01" / "report.html").stat().st_size > 10_000


def test_added_method_beats_none_and_is_close_to_its_peer(example):
    errors = example("add_a_method").main()
    assert errors["tikhonov"] < min(100, 1.2 * errors["tkd"])


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path: Path, monkeypatch):
    """In a kernel of its own, with this checkout's library."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": EXAMPLES}}
    )
    client.execute()
    pictures = [
        output
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if "image/png" in output.get("data", {})
    ]
    assert len(pictures) >= 3
    assert not any(cell.get("outputs") for cell in nbformat.read(path, 4).cells), (
        "clear the outputs"
    )


def test_there_is_a_notebook():
    assert NOTEBOOKS
