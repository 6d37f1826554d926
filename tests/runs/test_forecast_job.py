"""jobs.Forecast and forecasts from Python, on runs of a few steps."""

import csv
import json
from pathlib import Path

import gemmi
import numpy as np
import pytest
from run_commands import DEBUG, bind, result

import emprot_core
from emprot_core.cli import main
from emprot_core.config import ConfigError
from emprot_core.contracts import Vocabulary
from emprot_core.data.store import StoreWriter, TrajectoryStore
from emprot_core.errors import EmprotError

SHORT = [DEBUG, *bind("Train.baselines=[@baselines.markov(), @baselines.persistence()]", "Trainer.max_steps=2")]


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> str:
    directory = str(tmp_path_factory.mktemp("run") / "run")
    assert main([*SHORT, f"run.directory={directory}"]) == 0
    return directory


def forecast(run: str, output: Path, *arguments: str) -> int:
    return main(
        [
            "--gin_file=forecast.gin",
            f"Forecast.run={run}",
            f"Forecast.output={output}",
            "Forecast.rollouts=0",
            *arguments,
        ]
    )


def rows_of(output: Path) -> list[dict[str, str]]:
    with (output / "residues.csv").open() as file:
        return list(csv.DictReader(file))


def test_a_forecast_of_the_test_frames_has_the_nll_of_the_run(run, tmp_path) -> None:
    assert forecast(run, tmp_path / "out") == 0
    judged = ["--gin_file=evaluate.gin", f"Evaluate.run={run}", f"Evaluate.output={tmp_path}", "Evaluate.scores=[]"]
    assert main([*judged, f"Evaluate.forecasts={tmp_path / 'out' / 'forecast.npz'}"]) == 0
    found = json.loads((tmp_path / "evaluation.json").read_text())["forecasts"]["forecast"]["model"]
    assert found["nll_bits"] == pytest.approx(result(run)["test"]["model"]["nll_bits"], abs=1e-6)


def test_the_table_and_the_structure_hold_the_change_probability_of_each_residue(run, tmp_path) -> None:
    assert forecast(run, tmp_path, "Forecast.formats=['pdb', 'mmcif']") == 0
    with np.load(tmp_path / "forecast.npz") as arrays:
        probabilities, last_frame = arrays["probabilities"], arrays["last_frame"]
    store = TrajectoryStore("sample:kmeans_environment")
    row = store.index["name"].tolist().index("prolif_5ht1b")
    last = store.ids(row)[last_frame]  # every residue with an ID has one in every frame
    kept = np.take_along_axis(probabilities[:, 0], np.maximum(last, 0)[..., None], axis=-1)[..., 0]
    expected = np.where(last[0] >= 0, (1 - kept).mean(axis=0), 0.0)
    table = [line for line in rows_of(tmp_path) if line["horizon"] == "1"]
    assert [int(line["number"]) for line in table] == store.structure(row)[0]["number"].tolist()
    assert [float(line["change_probability"] or 0) for line in table] == pytest.approx(expected.tolist(), abs=1e-5)
    for name in ("prolif_5ht1b.pdb", "prolif_5ht1b.cif"):
        structure = gemmi.read_structure(str(tmp_path / name))  # its atoms live as long as it does
        read = [residue["CA"][0] for chain in structure[0] for residue in chain]
        assert [atom.b_iso for atom in read] == pytest.approx(expected.tolist(), abs=0.01)
        assert [atom.occ for atom in read] == (last[0] >= 0).tolist()
    assert (tmp_path / "prolif_5ht1b.pml").is_file()


def test_surprise_and_gain_of_the_residues_add_up_to_those_of_the_run(run, tmp_path) -> None:
    assert forecast(run, tmp_path) == 0
    lines = [line for line in rows_of(tmp_path) if line["horizon"] == "4" and line["surprise_bits"]]
    test = result(run)["test"]
    surprise = np.mean([float(line["surprise_bits"]) for line in lines])
    gain = np.mean([float(line["gain_bits"]) for line in lines])
    assert surprise == pytest.approx(test["model"]["nll_bits"][3], abs=1e-4)
    assert gain == pytest.approx(test["gains"]["markov"]["bits"][3], abs=1e-4)


def test_rollouts_are_a_store_that_begins_before_the_first_test_frame(run, tmp_path) -> None:
    more = ["Forecast.rollouts=2", "Forecast.rollout_frames=6", "Forecast.forecaster=markov"]
    assert forecast(run, tmp_path, *more) == 0
    rollouts = TrajectoryStore(tmp_path / "rollouts", verify=True)
    assert rollouts.index["name"].tolist() == ["prolif_5ht1b-seed0", "prolif_5ht1b-seed1"]
    assert rollouts.ids(0).shape == (6, 302)
    assert rollouts.structure(1)[0]["number"][0] == 38
    assert rollouts.vocabulary_digest == TrajectoryStore("sample:kmeans_environment").vocabulary_digest
    trained = main([*SHORT, f"TrajectoryWindows.store={tmp_path / 'rollouts'}", "--check"])
    assert trained == 0


def test_kinetics_stand_beside_both_controls_where_asked_for(run, tmp_path, capsys) -> None:
    more = ["Forecast.rollouts=2", "Forecast.rollout_frames=40", "Forecast.forecaster=markov", "Forecast.kinetics=True"]
    assert forecast(run, tmp_path, *more) == 0
    record = json.loads((tmp_path / "kinetics.json").read_text())["prolif_5ht1b"]
    assert record["frames"] == [205, 245]  # debug.gin takes every eighth window
    assert set(record["rows"]) == {"rollouts", "simulation before", "independent draws"}
    assert record["rows"]["simulation before"]["change_rate_ratio"] == pytest.approx(0.98, abs=0.03)
    assert "fewer than 1000" in record["warning"]
    assert set(record["chapman_kolmogorov"]) == {"simulation", "reference", *record["rows"]}
    assert "Chapman-Kolmogorov of the rollouts" in capsys.readouterr().err


def test_rollouts_too_short_for_kinetics_leave_numbers_out(run, tmp_path) -> None:
    more = ["Forecast.rollouts=1", "Forecast.rollout_frames=4", "Forecast.forecaster=markov", "Forecast.kinetics=True"]
    assert forecast(run, tmp_path, *more) == 0
    record = json.loads((tmp_path / "kinetics.json").read_text())["prolif_5ht1b"]
    assert record["chapman_kolmogorov"]["rollouts"] is None
    assert record["rows"]["rollouts"]["agreement"] is None
    assert record["rows"]["rollouts"]["change_rate_ratio"] > 0


def test_frames_are_chosen_by_number_or_the_last_one_of_each_trajectory(run, tmp_path) -> None:
    assert forecast(run, tmp_path / "a", "Forecast.frames=[30, 249]") == 0
    with np.load(tmp_path / "a" / "forecast.npz") as arrays:
        assert arrays["last_frame"].tolist() == [30, 249]
        chosen = arrays["probabilities"]
    assert forecast(run, tmp_path / "b", "Forecast.frames=last") == 0
    with np.load(tmp_path / "b" / "forecast.npz") as arrays:
        assert arrays["last_frame"].tolist() == [249]
        assert (arrays["probabilities"][0] == chosen[1]).all()
    ids = TrajectoryStore("sample:kmeans_environment").ids(2)
    from_python = emprot_core.forecast(run, np.array(ids))
    assert np.abs(from_python["probabilities"][0] - chosen[1]).max() < 1e-6


def test_of_many_classes_the_most_probable_are_kept(run, tmp_path) -> None:
    assert forecast(run, tmp_path / "few", "Forecast.frames=last", "Forecast.top_k=5") == 0
    assert forecast(run, tmp_path / "all", "Forecast.frames=last") == 0
    with np.load(tmp_path / "few" / "forecast.npz") as few, np.load(tmp_path / "all" / "forecast.npz") as whole:
        assert few["probabilities"].shape == (1, 4, 302, 5)
        assert (np.take_along_axis(whole["probabilities"], few["classes"], -1) == few["probabilities"]).all()
        best = np.sort(whole["probabilities"], axis=-1)[..., -5:]
        assert (np.sort(few["probabilities"], axis=-1) == best).all()


def test_another_protein_is_forecast_where_the_model_knows_no_residues(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*SHORT, "NUM_RESIDUES=0", "run.directory=run"]) == 0
    assert forecast("run", Path("out"), "Forecast.trajectories=['*psi']", "Forecast.frames=all") == 0
    assert {line["trajectory"] for line in rows_of(Path("out"))} == {"pbxplore_psi"}
    structure = gemmi.read_structure("out/pbxplore_psi.pdb")
    assert len(structure[0][0]) == 56


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["Forecast.forecaster=history"], "expected model or one of markov, persistence"),
        (["Forecast.forecaster=persistence"], "persistence gives no probabilities"),
        (["Forecast.frames=[250]"], "prolif_5ht1b has the frames 0 to 249"),
        (["Forecast.rollouts=-1"], "Forecast.rollouts is -1, expected 0 or more"),
        (["Forecast.trajectories=['*psi']", "Forecast.frames=last"], "means nothing on a protein that training lacks"),
        (["Forecast.run=none"], "none does not exist; give the directory of a run"),
    ],
)
def test_what_cannot_be_forecast_is_refused(run, tmp_path, capsys, arguments, message) -> None:
    assert forecast(run, tmp_path / "out", *arguments) == 1
    assert message in capsys.readouterr().err


def test_a_run_and_a_forecast_are_three_lines_of_python(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    summary = emprot_core.run("debug.gin", "Trainer.max_steps=2", "Train.baselines=[]")
    assert summary["global_step"] == 2
    with StoreWriter("own", Vocabulary("kmeans_environment", 256, {})) as writer:
        for name, residues in (("a", 3), ("b", 5)):
            writer.add(name, "G", np.full((4, residues), 7))
    found = emprot_core.forecast("runs/debug", "own")
    assert found["trajectory"].tolist() == ["a", "b"]
    assert np.isnan(found["probabilities"][0, :, 3:]).all()
    assert found["probabilities"][0, :, :3].sum(-1) == pytest.approx(1, abs=1e-5)
    with pytest.raises(ConfigError, match="max_stepz"):
        emprot_core.run("debug.gin", "Trainer.max_stepz=2")
    for wrong in (np.full((4, 3), 256), np.zeros((4, 3)), np.zeros((0, 3), int)):
        with pytest.raises(EmprotError, match="expected"):
            emprot_core.forecast("runs/debug", wrong)
    with pytest.raises(EmprotError, match="was refused"):
        emprot_core.run("debug.gin", "Trainer.max_steps=3", "Train.baselines=[]")
