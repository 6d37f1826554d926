"""Runs judged again: on their own data, on other stores, after a move, as an ensemble, with a temperature."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from run_commands import DEBUG, bind, result

import emprot_core
from emprot_core.cli import main
from emprot_core.contracts import Vocabulary
from emprot_core.data.store import StoreWriter

pytestmark = pytest.mark.usefixtures("in_an_empty_directory")
FEW = bind("Train.baselines=[@baselines.markov(), @baselines.history()]", "Trainer.max_steps=4")
OWN = [
    "NUM_CLUSTERS=6",
    "NUM_RESIDUES=0",
    "TrajectoryWindows.trajectories=None",
    "TrajectoryWindows.past=0",
    "TrajectoryWindows.stride=1",
]


def write_store(path: str, seed: int, name: str = "t", classes: int = 6) -> None:
    rng = np.random.default_rng(seed)
    with StoreWriter(path, Vocabulary("own", classes, {"name": "own"})) as writer:
        writer.add(name, f"G{seed}", rng.integers(0, 6, (80, 5)))


def train(*arguments: str) -> None:
    assert main([DEBUG, *FEW, *arguments]) == 0


def train_on_own_store() -> None:
    write_store("here/store", 1)
    train("TrajectoryWindows.store=here/store", "run.directory=here/run", *OWN)


def evaluate(*arguments: str, output: str = "judged") -> dict:
    assert main(["--gin_file=evaluate.gin", f"Evaluate.output={output}", *arguments]) == 0
    return json.loads(Path(output, "evaluation.json").read_text())


def refusal(capsys, *arguments: str) -> str:
    capsys.readouterr()
    assert main(["--gin_file=evaluate.gin", "Evaluate.output=refused", *arguments]) == 1
    assert not Path("refused").exists()
    return capsys.readouterr().err


def test_a_run_judged_again_has_the_scores_of_its_result_and_nothing_else_is_written(capsys) -> None:
    train()
    before = {path: path.read_bytes() for path in Path("runs/debug").rglob("*") if path.is_file()}
    assert main(["--gin_file=evaluate.gin", "Evaluate.run=runs/debug", "Evaluate.scores=[]"]) == 0
    record = json.loads(Path("runs/debug/evaluation.json").read_text())
    assert {key: record[key] for key in result()["test"]} == result()["test"]
    assert (record["split"], record["runs"], record["forecasts"]) == ("test", ["runs/debug"], {})
    with np.load("runs/debug/scores-test.npz") as scores:
        assert record["windows_digest"] == str(scores["windows_digest"])
    new = {path.name for path in Path("runs/debug").rglob("*") if path.is_file() and path not in before}
    assert new == {"evaluation.json", "evaluation.csv"}
    assert all(path.read_bytes() == content for path, content in before.items())
    assert capsys.readouterr().err.rstrip().splitlines()[-1].startswith("verdict: ")


def test_all_windows_are_scored_where_the_run_scored_a_sample() -> None:
    train("TrajectoryWindows.max_eval_windows=3")
    few, all_of_them = (
        evaluate("Evaluate.run=runs/debug", "Evaluate.scores=[]", f"Evaluate.every_window={value}")
        for value in (False, True)
    )
    assert (few["sampled"]["windows"], few["sampled"]["of"]) == (3, 7)
    assert "sampled" not in all_of_them
    assert few["model"] == result()["test"]["model"] != all_of_them["model"]


def test_another_split_is_named_in_the_file_and_a_run_that_is_not_finished_is_told(capsys) -> None:
    train()
    Path("runs/debug/result.json").unlink()
    record = evaluate("Evaluate.run=runs/debug", "Evaluate.split=validation")
    assert "runs/debug is not finished: the best weights so far are scored" in capsys.readouterr().err
    assert record["split"] == "validation"


def test_proteins_and_residues_add_up_to_the_whole() -> None:
    train()
    record = evaluate("Evaluate.run=runs/debug")
    assert record["by_group"]["P28222"]["model"] == pytest.approx(record["model"]["nll_bits"])
    residues = np.array(record["by_residue"]["P28222"]["model"], float)
    assert residues.shape == (302, 4)
    lines = [line.split(",") for line in Path("judged/evaluation.csv").read_text().splitlines()]
    assert lines[0] == ["group", "residue", "horizon", "targets", "markov", "history", "model"]
    rows = np.array([[float(cell or 0) for cell in line[1:]] for line in lines[1:]])
    first = rows[rows[:, 1] == 1]
    assert (first[:, 2] * first[:, 5]).sum() / first[:, 2].sum() == pytest.approx(
        record["model"]["nll_bits"][0], abs=1e-5
    )
    assert first[:, 5] == pytest.approx(np.nan_to_num(residues[:, 0]), abs=1e-5)


def test_a_run_is_judged_on_another_store_from_another_directory(tmp_path, monkeypatch, capsys) -> None:
    train_on_own_store()
    write_store("other", 2)
    Path("elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    record = evaluate("Evaluate.run=../here/run", "Evaluate.store=../other", "Evaluate.split=all")
    assert list(record["by_group"]) == ["G2"]
    assert record["stores"] == [str(tmp_path / "other")]
    lines = Path("judged/evaluation.csv").read_text().splitlines()
    assert sum(int(line.split(",")[3]) for line in lines[1:] if line.split(",")[2] == "1") == (80 - 10) * 5
    assert main(["--gin_file=evaluate.gin", "Evaluate.run=../here/run", "Evaluate.store=../other"]) == 0


def test_baselines_that_were_kept_need_no_training_data(capsys) -> None:
    train_on_own_store()
    write_store("other", 2)
    before = evaluate("Evaluate.run=here/run", "Evaluate.store=other", output="first")
    shutil.rmtree("here/store")
    assert evaluate("Evaluate.run=here/run", "Evaluate.store=other") == before
    new = ["Evaluate.run=here/run", "Evaluate.store=other", "Evaluate.baselines=[@baselines.occupancy()]"]
    assert "occupancy: not kept" in refusal(capsys, *new)
    assert "the store here/store, which is not there now" in refusal(capsys, "Evaluate.run=here/run")


def test_a_run_that_moved_finds_its_store_beside_it_or_where_it_is_told(tmp_path, capsys) -> None:
    train_on_own_store()
    before = evaluate("Evaluate.run=here/run", output="first")
    Path("here").rename("there")
    moved = evaluate("Evaluate.run=there/run")
    assert {**moved, "runs": 0, "stores": 0} == {**before, "runs": 0, "stores": 0}
    assert emprot_core.load_run("there/run").vocabulary.num_clusters == 6
    Path("stores").mkdir()
    Path("there/store").rename("stores/renamed")
    write_store("stores/decoy", 3)
    write_store("here/store", 4)  # in the place of the config, but with other data
    assert "here/store has other data" in refusal(capsys, "Evaluate.run=there/run")
    told = evaluate("Evaluate.run=there/run", "Evaluate.store=stores")
    assert told["model"] == before["model"]
    assert emprot_core.load_run("there/run", stores=["stores"]).vocabulary.name == "own"


def test_another_vocabulary_and_an_unknown_protein_are_refused(capsys) -> None:
    train_on_own_store()
    write_store("seven", 2, classes=7)
    assert "seven has another vocabulary than here/run" in refusal(
        capsys, "Evaluate.run=here/run", "Evaluate.store=seven"
    )
    train("run.directory=runs/known")  # with an embedding of the residue index
    unknown = ["Evaluate.run=runs/known", "Evaluate.store=sample:kmeans_environment"]
    assert "means nothing on a protein that training lacks" in refusal(
        capsys, *unknown, "Evaluate.trajectories=['*psi*']"
    )


def test_two_runs_are_judged_by_their_mean_probability(capsys) -> None:
    train("run.directory=runs/a")
    train("run.directory=runs/b", "run.seed=1")
    both = evaluate("Evaluate.run=['runs/a', 'runs/b']")
    alone = [result(f"runs/{name}")["test"]["model"]["nll_bits"] for name in "ab"]
    assert both["runs"] == ["runs/a", "runs/b"]
    assert all(ours < (a + b) / 2 for ours, a, b in zip(both["model"]["nll_bits"], *alone, strict=True))
    assert evaluate("Evaluate.run=['runs/a', 'runs/a']")["model"]["nll_bits"] == pytest.approx(alone[0], abs=1e-6)
    train("run.directory=runs/c", "ByTime.train=0.75", "ByTime.validation=0.05")
    for every_window in (False, True):
        own = ["Evaluate.run=['runs/a', 'runs/c']", f"Evaluate.every_window={every_window}"]
        assert "their splits differ" in refusal(capsys, *own)
    train("run.directory=runs/d", "FUTURE_HORIZON=2")
    assert "(num_clusters, future_horizon) is (256, 4) and (256, 2)" in refusal(
        capsys, "Evaluate.run=['runs/a', 'runs/d']"
    )
    assert main(["--gin_file=evaluate.gin", "Evaluate.run=['runs/a', 'runs/b']"]) == 1
    assert "expected one run, or several and an output" in capsys.readouterr().err


def test_a_temperature_is_fitted_on_validation_kept_and_used_again(monkeypatch) -> None:
    train()
    validation = evaluate("Evaluate.run=runs/debug", "Evaluate.split=validation", output="plain")
    warmed = ["Evaluate.run=runs/debug", "Evaluate.split=validation", "Evaluate.temperature=True"]
    warm = evaluate(*warmed)
    assert all(b < a for a, b in zip(validation["model"]["nll_bits"], warm["model"]["nll_bits"], strict=True))
    assert warm["model"]["accuracy"] == validation["model"]["accuracy"]
    assert json.loads(Path("judged/temperature.json").read_text())["temperatures"] == warm["temperatures"]
    monkeypatch.setattr("emprot_core.jobs.evaluate.fit_temperatures", None)
    assert evaluate(*warmed) == warm


def test_scores_are_those_of_the_config_for_model_and_baselines(capsys) -> None:
    train("Train.scores=[@scores.TopK()]")
    trained = result()["test"]
    record = evaluate("Evaluate.run=runs/debug", "Evaluate.scores=[@scores.TopK()]")
    assert record["model"]["top5"] == trained["model"]["top5"]
    assert all(top > one for top, one in zip(record["model"]["top5"], record["model"]["accuracy"], strict=True))
    assert len(record["baselines"]["history"]["top5"]) == 4
    assert "top5" in capsys.readouterr().err
