"""Steps that are not finite: withheld, named, and skipped within a budget; float16 and its scaler."""

import copy
import math
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from emprot_plugins.hooks.non_finite import NonFiniteError
from trainings import StopAt, Watch, hook, weights

from emprot_core import registry
from emprot_core.files import read_hashed_json
from emprot_core.hooks.base import Hook, RunInfo

MaskedCrossEntropy = registry.get("loss", "MaskedCrossEntropy")


class Poison(Hook):
    """Makes the gradients of some steps NaN, or their loss infinite while its gradients are not."""

    def __init__(self, *steps: int, loss: float = 0.0):
        self.steps, self.loss = steps, loss

    def on_step_start(self, trainer) -> None:
        self.factor = float("nan") if trainer.step + 1 in self.steps and not self.loss else 1.0
        trainer.forward_loss.loss.added = self.loss if trainer.step + 1 in self.steps else 0.0

    def on_fit_start(self, trainer) -> None:
        trainer.model.output_bias.register_hook(lambda gradient: gradient * self.factor)


class PoisonedLoss(MaskedCrossEntropy):
    added = 0.0

    def __call__(self, outputs, batch):
        terms = super().__call__(outputs, batch)
        return terms._replace(sum=terms.sum + self.added)


def plain_sgd(named):
    """An optimizer that knows nothing of found_inf."""
    return torch.optim.SGD([p for _, p in named], lr=0.1, momentum=0.9, weight_decay=0.1)


def batches_with_windows(make_batch, number: int) -> list:
    return [{**make_batch(i), "window_ids": torch.arange(4) + 10 * i} for i in range(number)]


@pytest.mark.parametrize("loss", [0.0, float("inf")])
@pytest.mark.parametrize("optimizer", [None, plain_sgd])
def test_a_step_that_is_not_finite_is_withheld_and_its_windows_named(
    make_batch, make_trainer, tmp_path, optimizer, loss
):
    watch = Watch()
    hooks = [Poison(2, loss=loss), watch, hook("ClipGradients"), hook("NonFinite")]
    trainer = make_trainer(*hooks, optimizer=optimizer, loss=PoisonedLoss())
    trainer.attach(RunInfo(directory=tmp_path))
    with pytest.raises(NonFiniteError, match="optimizer step 2 is not finite"):
        trainer.fit(batches_with_windows(make_batch, 3))
    assert torch.equal(weights(trainer), watch.before)
    record = read_hashed_json(tmp_path / "non_finite.json")
    assert record == {"withheld": [{"step": 2, "window_ids": [10, 11, 12, 13]}]}


@pytest.mark.parametrize("optimizer", [None, plain_sgd])
def test_steps_within_the_budget_are_skipped_and_leave_no_trace(make_batch, make_trainer, tmp_path, optimizer, caplog):
    results = []
    for poison in (Poison(2, 3), Poison()):
        trainer = make_trainer(
            poison, hook("NonFinite", max_skips=2), hook("ClipGradients"),
            optimizer=optimizer or partial(registry.get("optimizer", "adamw"), learning_rate=1e-2), dropout=0.0,
        )  # fmt: skip
        trainer.attach(RunInfo(directory=tmp_path / str(len(results))))
        (tmp_path / str(len(results))).mkdir()
        batches = batches_with_windows(make_batch, 5)
        trainer.factories = (trainer.factories[0], None)
        trainer.fit(batches if poison.steps else [batches[0], *batches[3:]])
        results.append(weights(trainer))
    assert torch.equal(*results)
    assert "(1 of 2)" in caplog.text
    record = read_hashed_json(tmp_path / "0" / "non_finite.json")
    assert [each["step"] for each in record["withheld"]] == [2, 3]


def test_skips_beyond_the_budget_stop_training_also_after_a_resume(make_batch, make_trainer) -> None:
    def make(*poisoned: int):
        return make_trainer(Poison(*poisoned), hook("NonFinite", max_skips=1), StopAt(3), max_epochs=2)

    first = make(2)
    first.fit(batches_with_windows(make_batch, 5))
    second = make(5)
    second.load_state_dict(first.state_dict())
    with pytest.raises(NonFiniteError, match="step 5 is not finite"):
        second.fit(batches_with_windows(make_batch, 5))


def test_in_float16_the_scaler_may_skip_steps_and_the_scheduler_waits(make_batch, make_trainer) -> None:
    trainer = make_trainer(hook("MixedPrecision", dtype="float16"), hook("NonFinite"), Poison(2, 4), max_epochs=1)
    trainer.fit([make_batch(i) for i in range(6)])
    assert trainer.step == 6
    assert trainer.scheduler.last_epoch == 4
    assert trainer.scaler.get_scale() == 65536 / 4


def test_in_float16_a_stopped_training_goes_on_to_the_same_bits(make_batch, make_trainer) -> None:
    def make(*more: Hook):
        hooks = [hook("MixedPrecision", dtype="float16"), hook("ClipGradients"), hook("NonFinite"), Poison(2)]
        return make_trainer(*hooks, *more, max_epochs=1, log_every_steps=4)

    batches = [make_batch(i) for i in range(6)]
    whole = make()
    whole.fit(batches)
    first = make(StopAt(3))
    first.fit(batches)
    state = copy.deepcopy(first.state_dict())
    second = make()
    second.load_state_dict(state)
    second.fit(batches)
    assert torch.equal(weights(second), weights(whole))
    assert second.scaler.state_dict() == whole.scaler.state_dict()
    assert second.scheduler.last_epoch == whole.scheduler.last_epoch == 5


def test_in_float16_gradients_that_are_never_finite_stop_training(make_batch, make_trainer) -> None:
    trainer = make_trainer(
        hook("MixedPrecision", dtype="float16"), hook("NonFinite"), Poison(*range(40)), max_epochs=40
    )
    with pytest.raises(NonFiniteError):
        trainer.fit([make_batch()])
    assert trainer.step == 17  # halved from 65536 to below 1


def test_a_step_whose_flag_a_checkpoint_read_is_reported_at_the_next_log_step() -> None:
    """On CUDA flags wait for a log step; a checkpoint before it reads them too."""
    guard = hook("NonFinite")
    view = SimpleNamespace(
        step=0, is_log_step=False, run=RunInfo(device=torch.device("cuda")), optimizer=None, parameters=[],
        micro_batches=[], scaler=torch.amp.GradScaler(enabled=False), gradient_norm=lambda: torch.tensor(1.0),
        withhold_update=lambda suspect: None,
    )  # fmt: skip
    for step, loss in ((1, math.nan), (2, 1.0)):
        view.step_loss = torch.tensor(loss)
        guard.on_backward_end(view)
        view.step, view.is_log_step = step, step == 2
        if step == 1:
            guard.on_step_end(view)
            saved = copy.deepcopy(guard.state_dict())
    again = hook("NonFinite")
    again.load_state_dict(saved)
    for each in (guard, again):
        with pytest.raises(NonFiniteError, match="optimizer step 1 is not finite"):
            each.on_step_end(view)
