"""hooks.Compile: the same training, by compiled code."""

import pytest
import torch

from emprot_core import registry
from emprot_core.hooks.base import Hook


class Losses(Hook):
    """Keeps the loss of every step, and of the validation."""

    def __init__(self) -> None:
        self.values: list[float] = []

    def on_step_end(self, trainer) -> None:
        self.values.append(trainer.logs["train/total_loss"])

    def on_validation_end(self, trainer) -> None:
        self.values.append(trainer.val_logs["val/total_loss"])


@pytest.mark.campaign
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # of torch's own modules
def test_a_compiled_training_has_the_losses_of_a_plain_one(make_batch, make_trainer) -> None:
    torch._dynamo.reset()
    results = []
    for hooks in ([], [registry.get("hook", "Compile")()]):
        losses = Losses()
        trainer = make_trainer(losses, *hooks, dropout=0.0, max_epochs=2, log_every_steps=1)
        trainer.fit([make_batch(i) for i in range(2)], [make_batch(9)])
        results.append(losses.values)
    assert len(results[0]) == 6
    assert results[1] == pytest.approx(results[0], rel=1e-5)


def test_the_function_that_runs_is_the_compiled_one(make_batch, make_trainer, monkeypatch) -> None:
    calls = []

    def compile_by_counting(function, mode):
        assert mode == "max-autotune"

        def counted(batch):
            calls.append(1)
            return function(batch)

        return counted

    monkeypatch.setattr(torch, "compile", compile_by_counting)
    trainer = make_trainer(registry.get("hook", "Compile")(mode="max-autotune"))
    trainer.fit([make_batch(i) for i in range(2)], [make_batch(9)])
    assert len(calls) == 3


def test_a_loss_that_reads_features_is_kept_from_the_compiler(make_batch, make_trainer, monkeypatch) -> None:
    kept = []
    monkeypatch.setattr(torch, "compile", lambda function, mode: function)
    monkeypatch.setattr(torch.compiler, "disable", lambda call: kept.append(call) or (lambda *given: call(*given)))
    loss = registry.get("loss", "LinearCrossEntropy")()
    trainer = make_trainer(registry.get("hook", "Compile")(), loss=loss, max_epochs=1)
    trainer.fit([make_batch(0)], [make_batch(9)])
    assert [call.__self__ for call in kept] == [loss]
    assert trainer.forward_loss.loss.inputs == "features"


class Graphs(Hook):
    """Counts the compiled graphs after every step."""

    def __init__(self) -> None:
        self.numbers: list[int] = []

    def on_step_end(self, trainer) -> None:
        self.numbers.append(torch._dynamo.utils.counters["stats"]["unique_graphs"])


@pytest.mark.campaign
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning", "ignore:The .grad attribute")
def test_other_numbers_of_targets_need_no_other_graph(make_batch, make_trainer) -> None:
    torch._dynamo.reset()
    graphs = Graphs()
    loss = registry.get("loss", "LinearCrossEntropy")()
    trainer = make_trainer(registry.get("hook", "Compile")(), graphs, loss=loss, max_epochs=1)
    trainer.fit([make_batch(i, missing=True) for i in range(4)], [make_batch(9)])
    assert graphs.numbers == [graphs.numbers[0]] * 4
