"""The notebooks in docs/ run from the first cell to the last, in an empty directory."""

import json
from pathlib import Path
from typing import Any

import pytest
from places import ROOT

NOTEBOOKS = sorted((ROOT / "docs").glob("*.ipynb"))


def code_of(path: Path) -> list[str]:
    """The code cells. Outputs are not kept: they would tell of another machine and another day."""
    cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells)
    return ["".join(cell["source"]) for cell in cells]


def test_there_is_a_notebook() -> None:
    assert NOTEBOOKS


TOLD = {
    "train_and_judge": [
        "finished at step 12",
        "did you mean",
        "(1, 4, 302, 256) windows, future frames, residues, classes",
    ],
    "forecast_and_look": [
        "verdict: ",
        "residues with a forecast",
        "(5, 302) frames and residues",
        "302 CA atoms",
        "h = 4",
    ],
}


@pytest.mark.parametrize(
    "path",
    [pytest.param(path, marks=pytest.mark.slow if path.stem == "forecast_and_look" else ()) for path in NOTEBOOKS],
    ids=lambda path: path.stem,
)
def test_a_notebook_runs(path: Path, own_registry: None, capsys) -> None:
    names: dict[str, Any] = {"__name__": "__main__"}
    for source in code_of(path):
        exec(compile(source, path.name, "exec"), names)
    told = capsys.readouterr().out
    assert all(text in told for text in TOLD[path.stem]), told
