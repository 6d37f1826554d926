"""Runs that are killed, preempted and started twice: nothing is lost, and not one bit changes."""

import json
import os
import random
import re
import shutil
import signal
import time
from pathlib import Path

import pytest
from places import CORE, GIN_CONFIGS
from runs_in_forks import DEBUG, RUN, assert_same_outcome, bind, output, scalars

from emprot_core.jobs.verify import verify_run


def test_the_run_uses_all_that_must_survive(whole: Path) -> None:
    result = json.loads((whole / "result.json").read_text())
    assert "early stopping" in result["stop_reason"]
    assert 6 < result["global_step"] < 24
    logged = scalars(whole)
    assert len(logged["train/total_loss"]) == result["global_step"]
    assert {"train/gradient_norm", "val/total_loss", "val/nll_bits/h4"} <= logged.keys()
    assert all(line.endswith(": ok") for line in verify_run(whole))


@pytest.mark.parametrize(
    "sabotage",
    [
        "emprot_core.training.loop:train_step 1 before",  # nothing was saved yet
        "emprot_core.training.forward_loss:ForwardLoss.forward 14 before",  # between two micro-batches
        "emprot_core.training.updates:Updates.step 7 before",
        "emprot_core.training.loop:score 4 before",  # at the start of a validation
        "emprot_plugins.hooks.checkpoint:Checkpoint.on_validation_end 3 before",
        "emprot_core.files:sha256 9 before",  # a checkpoint is written, but not yet under its name
        "os:fsync 12 before",
        "os:replace 9 before",
        "os:replace 9 after",
        "os:replace 20 before",
        "os:replace 21 after",
        "emprot_core.jobs.metrics_log:MetricsLog.on_validation_end 4 after",
        "emprot_core.checkpoint.store:CheckpointStore._replace_index 8 before",
        "emprot_core.checkpoint.store:CheckpointStore.save 6 after",
        "emprot_core.checkpoint.store:CheckpointStore.save 7 before",
        "emprot_core.checkpoint.store:CheckpointStore._replace_index 7 after",
        "emprot_plugins.hooks.checkpoint:Checkpoint.on_fit_end 1 before",  # early stopping asked to stop
        "emprot_core.jobs.run_directory:RunDirectory.write_result 1 before",
    ],
)
def test_a_run_killed_at_any_moment_ends_with_the_same_bits(runs, whole: Path, tmp_path: Path, sabotage: str) -> None:
    assert runs(tmp_path, RUN, SABOTAGE=sabotage) == -signal.SIGKILL
    assert runs(tmp_path, RUN) == 0, output(tmp_path)
    assert_same_outcome(tmp_path / "run", whole)


def kill_again_and_again(runs, arguments: list[str], tmp_path: Path, num_kills: int = 20) -> None:
    """Kill runs at random moments; all must end as one does that is left alone."""
    generator = random.Random(0)
    started = time.monotonic()
    assert runs(tmp_path / "whole", arguments) == 0, output(tmp_path / "whole")
    duration_s = time.monotonic() - started
    attempt, num_ended = tmp_path / "0", 0
    for number in range(num_kills):
        pid = runs.start(attempt, arguments)
        time.sleep(generator.uniform(0.1, 0.6) * duration_s)
        os.kill(pid, signal.SIGKILL)
        if runs.wait(pid) != -signal.SIGKILL or number == num_kills - 1:
            assert runs(attempt, arguments) == 0, output(attempt)
            assert_same_outcome(attempt / "run", tmp_path / "whole" / "run")
            attempt, num_ended = tmp_path / str(number + 1), num_ended + 1
    print(f"{num_kills} kills over {num_ended} runs")


@pytest.mark.slow
def test_a_run_killed_again_and_again_ends_with_the_same_bits(runs, tmp_path: Path) -> None:
    kill_again_and_again(runs, RUN, tmp_path, num_kills=8)


EVERY_HOOK = bind(
    "Trainer.extra_hooks=[@hooks.EMA(), @hooks.Throughput(), @hooks.ActivationCheckpointing(), @hooks.Profiler()]",
    "Checkpoint.keep_best=3",
    "Trainer.grad_accum_steps=2",
)


@pytest.mark.campaign
@pytest.mark.parametrize("more", [[], EVERY_HOOK], ids=["base.gin", "every hook"])
def test_base_gin_killed_twenty_times_ends_with_the_same_bits(runs, tmp_path: Path, more: list[str]) -> None:
    kill_again_and_again(runs, ["--gin_file=base.gin", *bind("run.directory='run'"), *more], tmp_path)


TINY_TRANSFORMER = [
    f"ProteinTransformerClassificationOnly.{size}" for size in ("d_embed=16", "num_heads=2", "num_layers=1")
]
TINY = bind("run.directory='run'", "Trainer.max_steps=24", "Trainer.max_epochs=50", "Checkpoint.every_steps=5")
VARIANTS = {
    "Axial": ["--gin_file=axial.gin", *bind(*TINY_TRANSFORMER, "Train.baselines=[]")],
    "CrossTemporal": ["--gin_file=cross_temporal.gin", *bind(*TINY_TRANSFORMER, "Train.baselines=[]")],
    "Recurrent": [*DEBUG, *bind("ProteinTransformerClassificationOnly.mixing=@mixings.Recurrent()")],
    "muon": [*DEBUG, *bind("Trainer.optimizer=@optimizers.muon")],
    "bfloat16": [*DEBUG, *bind("MixedPrecision.dtype='bfloat16'")],
    "two weighted stores": [
        *DEBUG,
        *bind("TrajectoryWindows.store=['sample:kmeans_environment', '../second']"),
        *bind("TrajectoryWindows.trajectories=None", "TrajectoryWindows.weights={'*': 0.5, '*prolif*': 1.5}"),
        *bind("ProteinTransformerClassificationOnly.residue_embedding=0"),
    ],
    "Synthetic": ["--gin_file=synthetic.gin", *bind(*TINY_TRANSFORMER, "Synthetic.num_residues=6", "NUM_RESIDUES=6")],
    "GatedExperts": ["--gin_file=experts.gin", *bind(*TINY_TRANSFORMER, "Train.baselines=[]")],
    "a loss that is not finite": [
        *DEBUG,
        *bind("adamw.learning_rate=1e30", "NonFinite.max_skips=1000", "Trainer.validate_every_steps=1"),
    ],
}


@pytest.mark.campaign
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_kind_of_run_killed_six_times_ends_with_the_same_bits(runs, tmp_path: Path, variant: str) -> None:
    shutil.copytree(CORE / "data" / "sample" / "kmeans_environment", tmp_path / "second")
    kill_again_and_again(runs, [*VARIANTS[variant], *TINY, "--allow_unused"], tmp_path, num_kills=6)


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_the_hooks_changes_no_result(runs, whole: Path, tmp_path: Path, seed: int) -> None:
    text = (GIN_CONFIGS / "base.gin").read_text()
    hooks = re.findall(r"@hooks\.\w+\(\)", text[text.index("\nTrainer.hooks") :])
    assert len(hooks) >= 8
    random.Random(seed).shuffle(hooks)
    assert runs(tmp_path, [*RUN, *bind(f"Trainer.hooks=[{', '.join(hooks)}]")]) == 0, output(tmp_path)
    assert_same_outcome(tmp_path / "run", whole, ignoring=["config", "config_digest"])


@pytest.mark.parametrize(
    "sabotage",
    [
        "emprot_core.training.updates:Updates.step 3 terminate",
        "emprot_core.training.trainer:Trainer.validate 2 terminate",
        "emprot_core.training.updates:Updates.step 6 terminate",  # validation, and a checkpoint, are due
    ],
)
def test_a_preempted_run_leaves_with_143_and_goes_on_to_the_same_bits(runs, whole, tmp_path, sabotage: str) -> None:
    assert runs(tmp_path, RUN, SABOTAGE=sabotage) == 143, output(tmp_path)
    assert json.loads((tmp_path / "run" / "result.json").read_text())["status"] == "preempted"
    # Killed before the next checkpoint: what the first resumed run logged must not stand twice.
    assert runs(tmp_path, RUN, SABOTAGE="emprot_core.training.updates:Updates.step 1 after") == -signal.SIGKILL
    assert runs(tmp_path, RUN) == 0, output(tmp_path)
    assert_same_outcome(tmp_path / "run", whole)


def test_of_two_processes_in_one_directory_the_second_is_refused(runs, whole: Path, tmp_path: Path) -> None:
    first = runs.start(tmp_path, RUN, SABOTAGE="emprot_core.training.updates:Updates.step 6 stop")
    runs.wait_until_stopped(first)
    (tmp_path / "second").mkdir()
    second = [*RUN, *bind("run.directory='../run'")]
    assert runs(tmp_path / "second", second) == 2
    assert "another process is running in ../run" in output(tmp_path / "second")
    os.kill(first, signal.SIGCONT)
    assert runs.wait(first) == 0, output(tmp_path)
    assert_same_outcome(tmp_path / "run", whole)


def test_a_changed_config_is_refused_by_key_even_where_the_record_of_it_is_damaged(runs, killed, tmp_path) -> None:
    shutil.copytree(killed, tmp_path / "run")
    (tmp_path / "run" / "config.gin").write_bytes(b"\xff\x00")
    assert runs(tmp_path, [*RUN, *bind("adamw.learning_rate=1e-4")]) == 2
    assert "adamw.learning_rate" in output(tmp_path)
    assert "0.003" in output(tmp_path)
