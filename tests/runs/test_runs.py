"""Runs from the command line: what they leave, repeat and can be swapped for."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from run_commands import DEBUG, bind, result, weights

import emprot_core
from emprot_core.cli import main

pytestmark = pytest.mark.usefixtures("in_an_empty_directory")


def test_a_run_leaves_everything_that_is_promised() -> None:
    assert main([DEBUG]) == 0
    found = {path.name for path in Path("runs/debug").iterdir()}
    assert {"config.gin", "operative_config.gin", "run.log", "checkpoints", "metrics.jsonl", "result.json"} <= found
    assert any(name.startswith("events.out.tfevents") for name in found)
    summary = result()
    assert summary["status"] == "finished"
    assert (summary["epoch"], summary["global_step"]) == (2, 12)
    assert summary["best"].keys() == {"val/total_loss", "step"}
    scores = [summary["test"]["model"], *summary["test"]["baselines"].values()]
    assert all(len(each["accuracy"]) == len(each["accuracy_changed"]) == 4 for each in scores)
    assert set(summary["test"]["baselines"]) == {
        "persistence", "windowed_mode", "occupancy", "markov", "interpolated", "interpolated_residue",
        "history", "history_site", "history_alike",
    }  # fmt: skip
    lines = [json.loads(line) for line in Path("runs/debug/metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [6, 12]
    assert not any("time" in key for line in lines for key in line)


@pytest.mark.parametrize(
    "swap",
    [
        "Trainer.optimizer=@optimizers.sgd",
        "Trainer.optimizer=@optimizers.adam",
        "Trainer.scheduler=@schedulers.constant",
        "Trainer.scheduler=@schedulers.step",
        "MaskedCrossEntropy.label_smoothing=0.1",
        "ProteinTransformerClassificationOnly.attention=@attention.einsum",
        "Trainer.hooks=[@hooks.Checkpoint(), @hooks.TensorBoard()]",
        "Trainer.extra_hooks=[@hooks.MixedPrecision()]",
    ],
)
def test_a_component_is_swapped_by_one_binding(swap: str) -> None:
    assert main([DEBUG, *bind(swap, "run.directory='runs/swap'", "Train.baselines=[]", "Trainer.max_steps=2")]) == 0
    assert result("runs/swap")["status"] == "finished"


def test_the_same_seed_gives_the_same_weights_and_another_one_others() -> None:
    short = bind("Trainer.max_steps=3", "Train.baselines=[]")
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        assert main([DEBUG, *short, *bind(f"run.directory='runs/{name}'", f"run.seed={seed}")]) == 0
    assert torch.equal(weights("runs/a"), weights("runs/b"))
    assert not torch.equal(weights("runs/a"), weights("runs/c"))


def test_both_attention_kernels_train_alike() -> None:
    short = bind("Trainer.max_steps=3", "Train.baselines=[]")
    for kernel in ("sdpa", "einsum"):
        attention = f"ProteinTransformerClassificationOnly.attention=@attention.{kernel}"
        assert main([DEBUG, *short, *bind(attention, f"run.directory='runs/{kernel}'")]) == 0
    losses = [result(f"runs/{kernel}")["best"]["val/total_loss"] for kernel in ("sdpa", "einsum")]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_weights_can_start_from_a_checkpoint_of_another_run() -> None:
    assert main([DEBUG]) == 0
    start = bind(
        "run.init_from='runs/debug/checkpoints/best.pt'", "run.directory='runs/next'", "adamw.learning_rate=0.0"
    )
    assert main([DEBUG, *start, *bind("cosine_with_warmup.min_lr=0.0", "Trainer.max_steps=1")]) == 0
    assert torch.equal(weights("runs/next"), weights("runs/debug", "best.pt"))


def test_without_a_validation_the_averaged_weights_are_scored(capsys) -> None:
    spans = bind("ByTime.train=0.8", "ByTime.validation=0.0", "Train.baselines=[]", "Trainer.max_steps=6")
    assert main([DEBUG, *spans, *bind("Trainer.extra_hooks=[@hooks.EMA()]")]) == 0
    Path("again.gin").write_text("run.job = @jobs.Evaluate()\nEvaluate.run = 'runs/debug'\n")
    assert main(["--gin_file=again.gin"]) == 0
    again = json.loads(Path("runs/debug/evaluation.json").read_text())
    assert again["model"] == result()["test"]["model"]


def test_load_run_gives_the_best_model_vocabulary_and_config() -> None:
    assert main([DEBUG]) == 0
    run = emprot_core.load_run("runs/debug")
    assert not run.model.training
    assert run.vocabulary.num_clusters == 256
    assert run.config.get("Trainer.max_epochs") == 2
    loaded = torch.cat([value.flatten() for value in run.model.state_dict().values()])
    assert torch.equal(loaded, weights("runs/debug", "best.pt"))


def test_the_config_of_a_run_repeats_it_to_the_bit() -> None:
    assert main([DEBUG]) == 0
    assert main(["--gin_file=runs/debug/config.gin", *bind("run.directory='runs/again'")]) == 0
    assert torch.equal(weights("runs/debug"), weights("runs/again"))
    assert result("runs/again")["config_digest"] == result()["config_digest"]
    assert Path("runs/again/metrics.jsonl").read_text() == Path("runs/debug/metrics.jsonl").read_text()


@pytest.mark.campaign
def test_a_run_stopped_by_ctrl_c_ends_with_the_same_weights() -> None:
    command = [sys.executable, "-m", "emprot_core", DEBUG, *bind("Trainer.max_epochs=10", "Trainer.max_steps=60")]
    interrupted = [*command, *bind("run.directory='runs/stopped'")]
    statuses = []
    for _ in range(2):
        process = subprocess.Popen(interrupted, stderr=subprocess.PIPE, text=True)
        for line in process.stderr:
            if line.startswith("epoch"):
                break
        os.kill(process.pid, signal.SIGINT)
        process.communicate(timeout=60)
        statuses.append(process.returncode)
    assert statuses == [130, 130]
    assert result("runs/stopped")["status"] == "preempted"
    subprocess.run(interrupted, check=True, capture_output=True)
    subprocess.run(command, check=True, capture_output=True)
    assert torch.equal(weights("runs/stopped"), weights("runs/debug"))
    assert Path("runs/stopped/metrics.jsonl").read_text() == Path("runs/debug/metrics.jsonl").read_text()


def test_an_optimizer_of_ones_own_trains_beside_every_hook(monkeypatch) -> None:
    Path("my_parts.py").write_text(
        "import torch\n"
        "from emprot_core.registry import register\n"
        "@register('optimizer')\n"
        "def adagrad(named_parameters, learning_rate: float = 1e-2):\n"
        "    return torch.optim.Adagrad([p for _, p in named_parameters], lr=learning_rate)\n"
    )
    command = [sys.executable, "-m", "emprot_core", "--plugin=my_parts", DEBUG]
    bindings = bind("Trainer.optimizer=@optimizers.adagrad", "Trainer.max_steps=2", "Train.baselines=[]")
    subprocess.run([*command, *bindings], check=True, capture_output=True)
    assert result()["status"] == "finished"
