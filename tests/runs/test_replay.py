"""--replay: a step of a run again, to the bit, and where its loss lies."""

import random
import shutil
from pathlib import Path

import numpy as np
import pytest
from run_commands import DEBUG, bind

from emprot_core.cli import main
from emprot_core.contracts import Vocabulary
from emprot_core.data.store import StoreWriter
from emprot_core.jobs.replay import replay
from emprot_core.jobs.steps_log import read_steps

RUN = [
    DEBUG,
    "Train.baselines=[]",
    "Trainer.grad_accum_steps=2",
    "Trainer.validate_every_steps=2",
    "Trainer.log_every_steps=5",
    "Checkpoint.every_steps=3",
    *bind("Trainer.extra_hooks=[@hooks.EMA()]"),
]


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("run") / "run"
    assert main([*RUN, f"run.directory={directory}", "Trainer.max_epochs=4"]) == 0
    return directory


def content(directory: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file()}


def test_every_step_is_kept_with_its_loss_and_norm(run: Path) -> None:
    rows = read_steps(run)
    assert rows["step"].tolist() == list(range(1, 13))
    assert np.isfinite(rows["loss"]).all()
    assert (rows["gradient_norm"] > 0).all()


@pytest.mark.parametrize("step", [1, 2, 8, 12])
def test_a_step_is_computed_again_to_the_bit_and_the_run_stays_as_it_is(run: Path, step: int) -> None:
    before = content(run)
    again = replay(run, step)
    assert again.is_equal
    assert again.step == step
    assert again.tokens.nll.sum() / len(again.tokens.nll) == pytest.approx(again.loss, rel=1e-5)
    assert content(run) == before


def test_a_step_without_a_checkpoint_before_it_is_computed_from_the_beginning(run: Path, tmp_path: Path) -> None:
    copied = Path(shutil.copytree(run, tmp_path / "run"))
    for path in (copied / "checkpoints").glob("step-*"):
        if path.name != "step-00000012.pt":
            path.unlink()
    again = replay(copied, 7)
    assert again.origin == ""
    assert again.is_equal


def test_the_numbers_are_printed(run: Path, capsys) -> None:
    assert main(["--replay", str(run), "--step", "11"]) == 0
    told = capsys.readouterr().out
    assert told.startswith(f"step 11 of {run}, computed again from step-000000")
    assert told.count("as in the run, to the bit") == 2
    assert "prolif_5ht1b" in told


def test_another_loss_in_the_run_is_said(run: Path, tmp_path: Path, capsys) -> None:
    copied = Path(shutil.copytree(run, tmp_path / "run"))
    rows = read_steps(copied)
    rows["loss"][10] += 1e-9
    (copied / "steps.bin").write_bytes(rows.tobytes())
    assert main(["--replay", str(copied), "--step", "11"]) == 0
    told = capsys.readouterr().out
    assert told.count("as in the run, to the bit") == 1
    assert "the run had" in told


def write_store(directory: Path, poisoned: str | None) -> str:
    """Six trajectories of residues that rarely change; in one of them a column is shuffled."""
    rng = np.random.default_rng(0)
    with StoreWriter(directory, Vocabulary("letters", 8, {"name": "letters"})) as writer:
        for name in "abcdef":
            changes = rng.random((60, 5)) < 0.005
            ids = (np.cumsum(changes, axis=0) + rng.integers(0, 8, 5)) % 8
            if name == poisoned:
                ids[:, 2] = rng.integers(0, 8, 60)
            writer.add(name, "protein", ids.astype(np.int32), 1.0)
    return str(directory)


def test_a_poisoned_trajectory_is_named_first_at_the_worst_step(tmp_path: Path) -> None:
    store = write_store(tmp_path / "store", poisoned="d")
    size = ["NUM_CLUSTERS=8", "NUM_RESIDUES=5", "TrajectoryWindows.past=0", "TrajectoryWindows.trajectories=None"]
    arguments = [DEBUG, f"TrajectoryWindows.store={store}", *size, "Train.baselines=[]", "Trainer.max_epochs=12"]
    more = ["TrajectoryWindows.stride=2", "Trainer.max_steps=120", "Checkpoint.every_steps=40"]
    assert main([*arguments, *more, f"run.directory={tmp_path / 'run'}"]) == 0
    rows = read_steps(tmp_path / "run")
    late = rows[len(rows) // 2 :]
    again = replay(tmp_path / "run", int(late["step"][late["loss"].argmax()]))
    assert again.is_equal
    sums = np.bincount(again.tokens.trajectory, again.tokens.nll, minlength=6)
    assert again.names[int(sums.argmax())] == "d"
    residues = np.bincount(
        again.tokens.residue[again.tokens.trajectory == 3], again.tokens.nll[again.tokens.trajectory == 3]
    )
    assert residues.argmax() == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--step", "13"], "--step is 13, but .* has the steps 1 to 12"),
        (["--step", "0"], "--step is 0, but .* has the steps 1 to 12"),
    ],
)
def test_a_step_that_was_never_made_is_refused(run: Path, capsys, arguments, message: str) -> None:
    import re

    assert main(["--replay", str(run), *arguments]) == 1
    assert re.search(message, capsys.readouterr().err)


def test_replay_and_step_go_together(capsys) -> None:
    assert main(["--replay", "runs/x"]) == 2
    assert "--replay and --step go together" in capsys.readouterr().err
    assert main(["--replay", "nowhere", "--step", "3"]) == 1
    assert "nowhere does not exist" in capsys.readouterr().err


@pytest.mark.campaign
def test_fifty_random_steps_of_base_gin_are_computed_again_to_the_bit(tmp_path: Path) -> None:
    assert main(["--gin_file=base.gin", "Train.baselines=[]", f"run.directory={tmp_path / 'run'}"]) == 0
    last = int(read_steps(tmp_path / "run")["step"].max())
    steps = random.Random(0).sample(range(1, last + 1), 50)
    assert all(replay(tmp_path / "run", step).is_equal for step in steps)
