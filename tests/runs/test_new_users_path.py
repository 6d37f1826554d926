"""From trajectory files to a coloured structure, by the commands of docs/forecasting.md."""

import re
import shlex
import warnings
from pathlib import Path

import numpy as np
import pytest
from places import ROOT
from sample_structures import sample, write_as_xtc

from emprot_core.cli import main
from emprot_core.data.store import TrajectoryStore

pytestmark = pytest.mark.usefixtures("in_an_empty_directory")
PROTEINS = {"receptor": "prolif_5ht1b", "rhodopsin": "nglview_rhodopsin", "psi": "pbxplore_psi"}


def commands() -> list[list[str]]:
    page = (ROOT / "docs" / "forecasting.md").read_text()
    block = re.search(r"```sh\n(.*?)```", page, re.DOTALL)
    assert block is not None
    return [shlex.split(line) for line in block[1].splitlines()]


def test_the_page_leads_to_a_coloured_structure_in_four_commands(capsys) -> None:
    Path("sim").mkdir()
    structure = sample("pbxplore_psi")
    write_as_xtc(Path("sim"), "protein", structure._replace(coordinates=structure.coordinates[:80]))
    *run, look = commands()
    assert len(run) + 1 <= 4
    for command in run:
        short = ["Trainer.max_steps=2", "Train.baselines=[@baselines.history()]"] if "experts.gin" in command[1] else []
        assert command[0] == "emprot-run"
        assert main([*command[1:], *short]) == 0, capsys.readouterr().err
    assert "verdict: " in capsys.readouterr().err
    assert look == ["pymol", "forecasts/mine/*.pml"]
    assert Path("forecasts/mine/protein.pml").is_file()
    text = Path("forecasts/mine/protein.pdb").read_text()
    assert len([line for line in text.splitlines() if line.startswith("ATOM") and " CA " in line]) == 56


def test_three_proteins_become_one_store_and_an_unseen_one_is_forecast(capsys) -> None:
    Path("sim").mkdir()
    for name, own in PROTEINS.items():
        write_as_xtc(Path("sim"), name, sample(own))
    layout = ["md.layout='{protein}.xtc'", "md.topology='{protein}.pdb'", "md.group='{protein}'"]
    prepare = ["--gin_file=prepare.gin", "Prepare.source=sim/*.xtc", "Prepare.output=stores", "Prepare.num_workers=1"]
    assert main([*prepare, *layout]) == 0, capsys.readouterr().err
    store, embedded = TrajectoryStore("stores/protein_blocks", verify=True), TrajectoryStore("sample:protein_blocks")
    rows, known = (each.index["name"].tolist() for each in (store, embedded))
    for name, own in PROTEINS.items():
        ids, expected = store.ids(rows.index(name)), embedded.ids(known.index(own))
        assert (ids == expected).mean() > 0.999  # an XTC file holds .01 Angstrom
    residues, _ = store.structure(rows.index("receptor"))
    assert (residues["number"][0], residues["number"][-1], len(residues)) == (38, 387, 302)
    train = [
        "--gin_file=debug.gin",
        "TrajectoryWindows.store=stores/protein_blocks",
        "TrajectoryWindows.trajectories=['rhodopsin', 'psi']",
        "NUM_CLUSTERS=16",
        "NUM_RESIDUES=0",
        "Train.baselines=[]",
        "run.directory=run",
    ]
    assert main(train) == 0, capsys.readouterr().err
    ask = ["Forecast.trajectories=['receptor']", "Forecast.frames=last", "Forecast.rollouts=0"]
    assert main(["--gin_file=forecast.gin", "Forecast.run=run", "Forecast.output=out", *ask]) == 0
    with np.load("out/forecast.npz") as arrays:
        probabilities = arrays["probabilities"][0, 0]
    last = store.ids(rows.index("receptor"))[-1]
    change = np.where(last >= 0, 1 - probabilities[np.arange(302), np.maximum(last, 0)], 0)
    import MDAnalysis

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        alphas = MDAnalysis.Universe("out/receptor.pdb").select_atoms("name CA")
    assert alphas.resids.tolist() == residues["number"].tolist()
    assert alphas.tempfactors == pytest.approx(change, abs=0.01)
