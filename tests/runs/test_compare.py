"""--compare and --runs, on runs of a few steps."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from run_commands import DEBUG, bind

from emprot_core.cli import main
from emprot_core.files import read_hashed_json, write_hashed_json
from emprot_core.jobs.list_runs import list_runs

SHORT = [DEBUG, *bind("Train.baselines=[@baselines.markov()]", "Trainer.max_steps=2")]
RUNS = {
    "a0": [],
    "a1": ["run.seed=1"],
    "lr0": ["adamw.learning_rate=1e-4"],
    "lr1": ["adamw.learning_rate=1e-4", "run.seed=1"],
    "sgd": ["Trainer.optimizer=@optimizers.sgd", "ProteinTransformerClassificationOnly.dropout=0.2"],
    "long": ["HISTORY=12"],
    "split": ["ByTime.train=0.6", "ByTime.test=0.3"],
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for name, arguments in RUNS.items():
        assert main([*SHORT, *arguments, f"run.directory={folder / name}"]) == 0
    return folder


@pytest.fixture
def compared(runs, capsys):
    def compare(*names: str) -> dict:
        capsys.readouterr()
        assert main(["--compare", *(str(runs / name) for name in names), "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    return compare


def text_of(runs, capsys, *names: str) -> str:
    capsys.readouterr()
    assert main(["--compare", *(str(runs / name) for name in names)]) == 0
    return capsys.readouterr().out


def test_runs_that_differ_in_the_learning_rate_show_that_line_alone(runs, compared, capsys) -> None:
    (setting,) = compared("a0", "lr0")["settings"]
    assert (setting["name"], setting["values"]) == ("optimizers.adamw.learning_rate", ["0.003", "0.0001"])
    assert setting["origins"][0].startswith("emprot_gin_configs:base.gin:")
    assert setting["origins"][1] == "command line"
    lines = text_of(runs, capsys, "a0", "lr0").splitlines()
    told = lines.index("what differs: A -> B")
    assert lines[told + 1].startswith("  optimizers.adamw.learning_rate: 0.003 (")
    assert lines[told + 2] == ""
    assert "below 0.01 is no result" in lines[-1]


def test_a_run_against_itself_is_identical(runs, compared, capsys) -> None:
    record = compared("a0", "a0")
    assert (record["settings"], record["code"], record["data"]) == ([], None, None)
    assert record["differences"][0]["bits"] == [0.0] * 4
    assert "settings: identical\n" in text_of(runs, capsys, "a0", "a0")


def test_seeds_are_grouped_and_paired(runs, compared, capsys) -> None:
    record = compared("a0", "lr1", "a1", "lr0")
    assert [group["seeds"] for group in record["groups"]] == [["0", "1"], ["0", "1"]]
    singles = [read_hashed_json(runs / name / "result.json")["test"]["model"]["nll_bits"][0] for name in ("a0", "a1")]
    assert record["groups"][0]["nll_bits"]["mean"][0] == pytest.approx(sum(singles) / 2)
    assert record["groups"][0]["nll_bits"]["sd"][0] == pytest.approx(abs(singles[0] - singles[1]) / 2**0.5)
    assert [each["name"] for each in record["settings"]] == ["optimizers.adamw.learning_rate"]
    means = [group["nll_bits"]["mean"] for group in record["groups"]]
    gains = [a - b for a, b in zip(*means, strict=True)]
    assert record["differences"][0]["bits"] == pytest.approx(gains, abs=1e-5)
    assert record["differences"][0]["paired_by_seed"]
    assert not compared("a0", "a1", "lr0")["differences"][0]["paired_by_seed"]
    alone = text_of(runs, capsys, "a0", "a1")
    assert "(2 seeds: 0, 1)" in alone
    assert "settings: identical but for run.seed" in alone


def test_another_component_shows_the_choice_and_what_was_bound_to_the_one_that_is_gone(compared) -> None:
    names = {each["name"]: each["values"] for each in compared("a0", "sgd")["settings"]}
    assert names["Trainer.optimizer"] == ["@optimizers.adamw", "@optimizers.sgd"]
    assert names["optimizers.adamw.learning_rate"] == ["0.003", None]
    assert names["models.ProteinTransformerClassificationOnly.dropout"] == ["0.1", "0.2"]
    assert not [name for name in names if name.startswith("optimizers.sgd.")]  # all of them defaults


def test_a_macro_is_one_line_whatever_follows_from_it(compared) -> None:
    assert [each["name"] for each in compared("a0", "long")["settings"]] == ["HISTORY"]


def change(path: Path, **entries) -> None:
    record = read_hashed_json(path)
    write_hashed_json(path, {**record, **entries})


REFUSED = {
    "another split": (lambda run: None, "split", "other test windows"),
    "a folder that is none": (shutil.rmtree, "a1", "does not exist"),
    "no run": (lambda run: (run / "config.gin").unlink(), "a1", "holds no run"),
    "not finished": (lambda run: (run / "result.json").unlink(), "a1", "has no result.json: it is not finished"),
    "preempted": (lambda run: change(run / "result.json", status="preempted"), "a1", "it is preempted"),
    "without test windows": (lambda run: change(run / "result.json", test=None), "a1", "without test windows"),
    "other classes": (
        lambda run: change(run / "result.json", vocabulary={"name": "x", "num_clusters": 256}),
        "a1",
        "unlike classes",
    ),
    "an older version": (lambda run: (run / "settings.json").unlink(), "a1", "an older version made it"),
    "damaged": (lambda run: (run / "result.json").write_text("{"), "a1", "is damaged"),
    "no scores": (lambda run: (run / "scores-test.npz").unlink(), "a1", "scores-test.npz is missing"),
    "torn scores": (lambda run: (run / "scores-test.npz").write_bytes(b"PK"), "a1", "cannot be read"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_runs_that_cannot_be_compared_are_refused_with_the_reason(runs, tmp_path, capsys, case) -> None:
    spoil, name, reason = REFUSED[case]
    shutil.copytree(runs / name, tmp_path / "other")
    spoil(tmp_path / "other")
    capsys.readouterr()
    assert main(["--compare", str(runs / "a0"), str(tmp_path / "other")]) == 2
    told = capsys.readouterr()
    assert reason in told.err
    assert told.out == ""


def test_all_runs_below_a_folder_are_listed_the_best_first(runs, tmp_path, capsys) -> None:
    shutil.copytree(runs, tmp_path / "all")
    (tmp_path / "all" / "a1" / "result.json").unlink()
    (tmp_path / "all" / "lr1" / "result.json").write_text("{")
    change(tmp_path / "all" / "lr0" / "result.json", status="preempted", test=None)
    records = list_runs(str(tmp_path / "all"))
    assert len(records) == len(RUNS)
    figures = [sum(record["nll_bits"]) for record in records if record["nll_bits"]]
    assert figures == sorted(figures)
    by_name = {Path(record["run"]).name: record for record in records}
    assert by_name["a1"]["status"] == "unfinished"
    assert by_name["a1"]["validation"] == pytest.approx(
        read_hashed_json(runs / "a1" / "result.json")["best"]["val/total_loss"]
    )
    assert (by_name["lr0"]["status"], by_name["lr1"]["status"]) == ("preempted", "damaged")
    assert main(["--runs", str(tmp_path / "all")]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert len(shown) == 1 + len(RUNS) + 1
    assert "result.json is damaged" in shown[-1]
    assert main(["--runs", str(tmp_path / "none")]) == 1
    assert "is no folder" in capsys.readouterr().err


def test_a_run_whose_lock_is_held_is_running(runs, tmp_path) -> None:
    import fcntl

    shutil.copytree(runs / "a0", tmp_path / "a0")
    with (tmp_path / "a0" / "run.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert [record["status"] for record in list_runs(str(tmp_path))] == ["running"]
    assert [record["status"] for record in list_runs(str(tmp_path))] == ["finished"]


def test_neither_needs_torch_or_gin_and_a_hundred_runs_take_no_time(runs, tmp_path) -> None:
    for number in range(100):
        shutil.copytree(runs / "a0", tmp_path / str(number), ignore=shutil.ignore_patterns("checkpoints", "baselines"))
    code = (
        "import sys; from emprot_core.cli import main; main(sys.argv[1:]);"
        "print(sorted({'torch', 'gin'} & set(sys.modules)), file=sys.stderr)"
    )
    for arguments in (["--runs", str(tmp_path)], ["--compare", str(runs / "a0"), str(runs / "lr0")]):
        started = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
        assert time.perf_counter() - started < 2
        assert done.stderr == "[]\n"
