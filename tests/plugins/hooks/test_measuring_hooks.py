"""Hooks that watch and average: Throughput, Profiler, EMA."""

import copy
import gzip
import json

import pytest
import torch
from emprot_plugins.hooks.throughput import matmul_flops_per_s
from trainings import hook, weights

from emprot_core.checkpoint import load_checkpoint
from emprot_core.hooks.base import Hook, RunInfo
from emprot_core.jobs.load import best_weights


class Logs(Hook):
    """Keeps the logs of every logged step."""

    def __init__(self) -> None:
        self.logs: list[dict[str, float]] = []

    def on_step_end(self, trainer) -> None:
        if trainer.logs is not None:
            self.logs.append(trainer.logs)


@pytest.mark.parametrize("order", [0, 1])
def test_throughput_splits_the_step_whatever_the_order_of_the_hooks(make_batch, make_trainer, order: int) -> None:
    logs = Logs()
    hooks = [hook("Throughput"), logs]
    trainer = make_trainer(*(hooks if order else hooks[::-1]), max_epochs=2, log_every_steps=2)
    trainer.fit([make_batch(i) for i in range(4)], [make_batch(9)])
    assert len(logs.logs) == 4
    for each in logs.logs:
        phases = [each[f"time/{phase}_ms"] for phase in ("data", "forward", "backward", "optimizer")]
        assert all(value > 0 for value in phases)
        assert each["time/tflops"] > 0
    trainer.validate([make_batch(9)])


def test_throughput_lets_a_model_be_validated_before_training(make_batch, make_trainer) -> None:
    make_trainer(hook("Throughput")).validate([make_batch()])


def test_flops_of_a_step_are_those_of_its_matrix_products(make_batch, make_trainer) -> None:
    throughput = hook("Throughput")
    trainer = make_trainer(throughput, dropout=0.0)
    trainer.fit([make_batch()])
    positions, d, horizon, classes = 4 * 7, 16, 3, 11
    classifier = 2 * positions * horizon * d * classes
    assert throughput._flops_per_step > 3 * classifier  # forward, and two products backward, besides the rest
    assert throughput._flops_per_step < 3 * 2 * positions * 5 * sum(p.numel() for p in trainer.model.parameters())


def test_the_rate_of_a_matrix_product_is_that_of_this_machine() -> None:
    assert 1e7 < matmul_flops_per_s(torch.device("cpu"), size=64, dtype=torch.float32) < 1e15


def test_profiler_writes_a_trace_of_a_few_steps(make_batch, make_trainer, tmp_path) -> None:
    trainer = make_trainer(hook("Profiler", first_step=2, num_steps=2))
    trainer.attach(RunInfo(directory=tmp_path))
    trainer.fit([make_batch(i) for i in range(5)])
    with gzip.open(tmp_path / "profile.json.gz", "rt") as file:
        names = [event.get("name", "") for event in json.load(file)["traceEvents"]]
    assert sum(name.startswith("Optimizer.step") for name in names) == 2


def test_ema_validates_with_the_average_and_trains_the_weights(make_batch, make_trainer) -> None:
    class Trail(Hook):
        def __init__(self) -> None:
            self.trained: list[torch.Tensor] = []

        def on_fit_start(self, trainer) -> None:
            self.trained.append(weights(trainer).clone())

        def on_step_end(self, trainer) -> None:
            self.trained.append(weights(trainer).clone())

        def on_validation_step_end(self, trainer) -> None:
            self.validated = weights(trainer).clone()

    trail = Trail()
    trainer = make_trainer(hook("EMA", decay=0.25), trail)
    trainer.fit([make_batch(i) for i in range(4)], [make_batch(9)])
    average = trail.trained[0]
    for step, trained in enumerate(trail.trained[1:], start=1):
        decay = min(0.25, (1 + step) / (10 + step))
        average = decay * average + (1 - decay) * trained
    torch.testing.assert_close(trail.validated, average)
    assert torch.equal(weights(trainer), trail.trained[-1])
    plain = make_trainer()
    plain.fit([make_batch(i) for i in range(4)])
    assert torch.equal(weights(plain), weights(trainer))


def test_the_best_checkpoint_holds_the_averaged_weights_beside_the_trained(make_batch, make_trainer, tmp_path) -> None:
    trainer = make_trainer(hook("EMA", decay=0.5), hook("Checkpoint"))
    trainer.attach(RunInfo(directory=tmp_path))
    trainer.fit([make_batch(i) for i in range(4)], [make_batch(9)])
    state = load_checkpoint(tmp_path / "checkpoints" / "best.pt")
    judged = make_trainer()
    judged.model.load_state_dict(best_weights(state))
    assert judged.validate([make_batch(9)])["val/total_loss"] == trainer.best["val/total_loss"]
    judged.model.load_state_dict(state["model_state_dict"])
    assert judged.validate([make_batch(9)])["val/total_loss"] != trainer.best["val/total_loss"]


def test_ema_goes_on_to_the_same_bits(make_batch, make_trainer) -> None:
    class Leave(Hook):
        def on_step_end(self, trainer) -> None:
            if trainer.step == 3:
                trainer.request_stop("asked to", exit_status=130)

    train, val = [make_batch(i) for i in range(4)], [make_batch(9)]
    whole = make_trainer(hook("EMA"), max_epochs=2)
    whole.fit(train, val)
    first = make_trainer(hook("EMA"), Leave(), max_epochs=2)
    first.fit(train, val)
    state = copy.deepcopy(first.state_dict())
    second = make_trainer(hook("EMA"), max_epochs=2)
    second.load_state_dict(state)
    second.fit(train, val)
    assert second.val_logs == whole.val_logs


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [("EMA", {"decay": 1.0}, "decay is 1.0"), ("Profiler", {"num_steps": 0}, "Profiler.num_steps is 0")],
)
def test_impossible_options_are_refused(name: str, options, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        hook(name, **options)
