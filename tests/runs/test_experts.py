"""Runs of gated experts: tables are counted once, kept in checkpoints, and the same for any number of ranks."""

import re
import signal
from pathlib import Path

import pytest
import torch
from places import ROOT
from run_commands import bind, result
from runs_in_forks import assert_same_outcome, output

from emprot_core import load_run
from emprot_core.checkpoint import load_checkpoint
from emprot_core.cli import main

SMALL = bind(
    "Train.baselines=[]",
    "TrajectoryWindows.trajectories=['pbx*']",  # the smallest protein
    "TrajectoryWindows.past=20",
    "TrajectoryWindows.stride=8",
    "ProteinTransformerClassificationOnly.d_embed=16",
    "ProteinTransformerClassificationOnly.num_layers=1",
    "Checkpoint.every_steps=2",
    "Trainer.max_epochs=2",
    "Trainer.log_every_steps=1",
)
SCALES = ("gates.mean", "gates.deviation", "gates.is_scaled")
EXPERTS = ["--gin_file=experts.gin", *SMALL]


def arguments(directory: str, *bindings: str) -> list[str]:
    return [*EXPERTS, *bind(f"run.directory='{directory}'", *bindings)]


def state_of(run: Path, name: str = "final.pt") -> dict[str, torch.Tensor]:
    return load_checkpoint(run / "checkpoints" / name)["model_state_dict"]


def kept(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tables, and the scales of the gates."""
    return {name: value for name, value in state.items() if name.startswith("tables.") or name in SCALES}


@pytest.fixture(scope="module")
def whole(runs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uninterrupted run of 12 steps."""
    directory = tmp_path_factory.mktemp("experts")
    assert runs(directory, arguments("run")) == 0, output(directory)
    return directory / "run"


@pytest.mark.parametrize("step", [1, 5, 9])
def test_a_run_killed_at_any_step_ends_with_the_same_bits(runs, whole: Path, tmp_path: Path, step: int) -> None:
    sabotage = f"emprot_core.training.updates:Updates.step {step} before"
    assert runs(tmp_path, arguments("run"), SABOTAGE=sabotage) == -signal.SIGKILL
    assert runs(tmp_path, arguments("run")) == 0, output(tmp_path)
    assert_same_outcome(tmp_path / "run", whole)


def test_a_resumed_run_takes_its_tables_from_the_checkpoint(in_an_empty_directory, monkeypatch) -> None:
    assert main(arguments("run", "Trainer.max_steps=2")) == 0
    before = kept(state_of(Path("run")))
    assert len(before["tables.entry_ids"]) > 1000

    def refuse(*_) -> None:
        raise AssertionError("counted again")

    monkeypatch.setattr("emprot_core.jobs.train.give_transitions", refuse)
    assert main(arguments("run", "Trainer.max_steps=4", "run.allow_config_change=True")) == 0
    after = kept(state_of(Path("run")))
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_loaded_run_has_its_tables(whole: Path) -> None:
    model = load_run(whole).model
    state = state_of(whole, "best.pt")
    assert not model.tables.is_empty
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    ids = torch.randint(0, 256, (1, 12, 7))
    logits = model(ids, None, torch.tensor([7]), ids >= 0)["cluster_logits"]
    assert logits.logsumexp(-1).abs().max() <= 1e-4


def test_ranks_count_the_same_tables_and_scales(runs, whole: Path, tmp_path: Path) -> None:
    pids = runs.ranks(2, tmp_path, arguments("run", "TrajectoryWindows.batch_size=2"))
    assert [runs.wait(pid) for pid in pids] == [0, 0], (tmp_path / "output0.txt").read_text()
    one, two = kept(state_of(whole)), kept(state_of(tmp_path / "run"))
    for name in one:
        torch.testing.assert_close(two[name], one[name], rtol=1e-6, atol=1e-6)
    losses = [result(str(run))["best"]["val/total_loss"] for run in (whole, tmp_path / "run")]
    assert losses[0] == pytest.approx(losses[1], rel=0.02)  # dropout differs


def test_weights_of_another_run_keep_their_scales_and_get_tables_of_the_new_data(
    whole: Path, in_an_empty_directory
) -> None:
    options = [f"run.init_from='{whole}/checkpoints/final.pt'", "TrajectoryWindows.trajectories=['nglview*']"]
    assert main(arguments("next", *options, "Trainer.max_steps=1")) == 0
    old, new = state_of(whole), state_of(Path("next"))
    assert torch.equal(old["gates.mean"], new["gates.mean"])
    assert len(old["tables.entry_ids"]) != len(new["tables.entry_ids"])


def test_the_gates_alone_train(in_an_empty_directory) -> None:
    assert main(["--gin_file=gates.gin", *SMALL, *bind("run.directory='run'", "Trainer.max_steps=2")]) == 0
    assert {name.split(".")[0] for name in state_of(Path("run"))} == {"gates", "tables"}


def test_data_that_cannot_count_transitions_are_refused(in_an_empty_directory, capsys) -> None:
    swaps = ["Trainer.model=@models.GatedExperts()", "GatedExperts.experts=[@experts.Caches()]"]
    swaps += ["GatedExperts.num_clusters=%NUM_CLUSTERS", "GatedExperts.future_horizon=1"]
    assert main(["--gin_file=synthetic.gin", *bind(*swaps, "run.directory='run'")]) == 2
    told = capsys.readouterr().err
    assert "GatedExperts needs the transitions of the training frames, which Synthetic cannot count" in told


def test_the_expert_in_the_pages_has_under_thirty_lines_and_trains(own_registry: None) -> None:
    page = (ROOT / "docs" / "experts.md").read_text()
    source = re.search(r"```python\n# my_expert\.py\n(.*?)```", page, re.DOTALL)[1]
    assert len(source.splitlines()) < 30
    Path("my_expert.py").write_text(source)
    listed = "GatedExperts.experts=[@experts.PooledTables(), @experts.BeforeLast()]"
    options = bind("run.directory='run'", "Trainer.max_steps=2", listed)
    assert main(["--plugin=my_expert", "--gin_file=gates.gin", *SMALL, *options]) == 0
    assert state_of(Path("run"))["gates.bias"].shape == (4, 3)


def test_a_run_without_a_test_split_ends_without_scores(in_an_empty_directory) -> None:
    options = bind("run.directory='run'", "Trainer.max_steps=2")
    assert main(["--gin_file=unseen.gin", *SMALL, *options]) == 0
    summary = result("run")
    assert summary["status"] == "finished"
    assert summary["test"] is None
