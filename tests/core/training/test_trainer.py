"""The loop: events in order, exact normalisation, validation."""

import copy
import math

import pytest
import torch
from trainings import weights

from emprot_core import registry
from emprot_core.batch import target_mask
from emprot_core.hooks.base import EVENTS, Hook
from emprot_core.training.loop import with_last


class Recorder(Hook):
    """Notes every event."""

    def __init__(self) -> None:
        self.events: list[str] = []


for _event in EVENTS:
    setattr(Recorder, _event, lambda self, trainer, name=_event: self.events.append(name))


def test_events_come_in_the_documented_order(make_batch, make_trainer) -> None:
    recorder = Recorder()
    trainer = make_trainer(recorder, max_epochs=1, grad_accum_steps=2)
    trainer.fit([make_batch(i) for i in range(3)], [make_batch(9)])
    step = ["on_step_start", "on_backward_end", "on_step_end"]
    assert recorder.events == [
        "on_fit_start", "on_epoch_start", *step, *step,
        "on_validation_start", "on_validation_step_end", "on_validation_end", "on_epoch_end", "on_fit_end",
    ]  # fmt: skip


def test_hooks_are_told_once_what_was_asked_for_is_written(make_batch, make_trainer) -> None:
    events = []

    class Saves(Hook):
        def on_step_end(self, trainer) -> None:
            trainer.request_save(self.write)

        def write(self, state) -> None:
            events.append(state["step"])

        def on_save_end(self, trainer) -> None:
            events.append(f"written at {trainer.step}")

    make_trainer(Saves()).fit([make_batch(i) for i in range(2)])
    assert events == [1, "written at 1", 2, "written at 2"]


def test_an_exception_is_told_to_the_hooks_and_rises(make_batch, make_trainer) -> None:
    class Breaks(Hook):
        def on_step_end(self, trainer) -> None:
            raise RuntimeError("broken on purpose")

    recorder = Recorder()
    trainer = make_trainer(recorder, Breaks())
    with pytest.raises(RuntimeError, match="broken on purpose"):
        trainer.fit([make_batch()])
    assert recorder.events[-1] == "on_exception"
    assert isinstance(trainer.exception, RuntimeError)


def test_micro_batches_of_unequal_weight_give_the_gradient_of_the_whole(make_batch, make_trainer) -> None:
    parts = [make_batch(i) for i in range(3)]
    parts[0]["residue_mask"][:, 2:] = False
    parts[1]["future_step_mask"][:, 1:] = False
    whole = {key: torch.cat([part[key] for part in parts]) for key in parts[0]}
    results = []
    for batches, accumulation in ((parts, 3), ([whole], 1)):
        trainer = make_trainer(dropout=0.0, dtype=torch.float64, grad_accum_steps=accumulation)
        trainer.fit(batches)
        results.append(weights(trainer))
        assert trainer.step == 1
    torch.testing.assert_close(results[0], results[1], rtol=0, atol=1e-9)


def test_the_gradient_that_hooks_see_is_normalised(make_batch, make_trainer) -> None:
    class Norm(Hook):
        def on_backward_end(self, trainer) -> None:
            self.norm = float(trainer.gradient_norm())
            self.head = trainer.model.output_bias.grad.clone()

    hook, batch = Norm(), make_batch()
    trainer = make_trainer(hook, dropout=0.0, dtype=torch.float64)
    model = copy.deepcopy(trainer.model)
    trainer.fit([batch])
    logits = model(batch["input_cluster_ids"], None, batch["sequence_lengths"], batch["history_mask"])["cluster_logits"]
    mask = target_mask(batch)
    torch.nn.functional.cross_entropy(logits[mask], batch["future_cluster_ids"][mask]).backward()
    torch.testing.assert_close(hook.head, model.output_bias.grad)
    assert hook.norm == pytest.approx(math.sqrt(sum(float(p.grad.square().sum()) for p in model.parameters())))


def test_validation_averages_over_positions_not_over_batches(make_batch, make_trainer) -> None:
    batches = [make_batch(i, missing=True) for i in range(3)]
    batches[0]["residue_mask"][:, 1:] = False
    trainer = make_trainer(dtype=torch.float64)
    logs = trainer.validate(batches)
    total = count = 0.0
    for batch in batches:
        with torch.no_grad():
            logits = trainer.model(
                batch["input_cluster_ids"], None, batch["sequence_lengths"], batch["history_mask"]
            )["cluster_logits"]  # fmt: skip
        mask = target_mask(batch)
        nll = torch.nn.functional.cross_entropy(logits[mask], batch["future_cluster_ids"][mask], reduction="sum")
        total, count = total + float(nll), count + int(mask.sum())
    assert logs["val/total_loss"] == pytest.approx(total / count, rel=1e-12)
    assert logs["val/token_ce"] == pytest.approx(total / count, rel=1e-12)
    assert {"val/token_accuracy", "val/nll_bits/h1", "val/nll_bits/h3"} <= logs.keys()


def test_training_overfits_one_batch(make_batch, make_trainer) -> None:
    batch = make_batch()
    batch["future_cluster_ids"] = batch["input_cluster_ids"][:, -1:].repeat(1, 3, 1)
    trainer = make_trainer(max_steps=60, max_epochs=60, log_every_steps=60)
    trainer.fit([batch])
    assert trainer.logs is not None
    assert trainer.validate([batch])["val/token_accuracy"] == 1.0


def test_max_steps_ends_training_inside_an_epoch_with_a_validation(make_batch, make_trainer) -> None:
    recorder = Recorder()
    trainer = make_trainer(recorder, max_epochs=5, max_steps=4)
    trainer.fit([make_batch(i) for i in range(3)], [make_batch(9)])
    assert trainer.step == 4
    assert recorder.events.count("on_validation_end") == 2
    assert recorder.events[-1] == "on_fit_end"


def test_validation_can_come_every_few_steps(make_batch, make_trainer) -> None:
    steps = []

    class Steps(Hook):
        def on_validation_end(self, trainer) -> None:
            steps.append(trainer.step)

    trainer = make_trainer(Steps(), max_epochs=3, validate_every_steps=2)
    trainer.fit([make_batch(i) for i in range(3)], [make_batch(9)])
    assert steps == [2, 4, 6, 8, 9]


def test_order_of_the_hooks_changes_nothing(make_batch, make_trainer) -> None:

    names = ("ClipGradients", "NonFinite", "EarlyStopping")
    results = []
    for order in (names, names[::-1]):
        trainer = make_trainer(*(registry.get("hook", name)() for name in order), max_epochs=3)
        trainer.fit([make_batch(i) for i in range(3)], [make_batch(9)])
        results.append((weights(trainer), trainer.val_logs))
    assert torch.equal(results[0][0], results[1][0])
    assert results[0][1] == results[1][1]


def test_a_loader_without_a_length_trains_with_max_steps(make_batch, make_trainer) -> None:
    class Endless:
        def __iter__(self):
            return iter(make_batch(i) for i in range(100))

    trainer = make_trainer(max_steps=3)
    trainer.fit(Endless(), [make_batch(9)])
    assert trainer.step == 3


def test_of_the_steps_of_an_epoch_the_last_one_is_marked() -> None:
    assert list(with_last(iter("abc"))) == [("a", False), ("b", False), ("c", True)]
    assert list(with_last(iter(""))) == []


def test_the_last_step_is_logged_whatever_the_rhythm(make_batch, make_trainer) -> None:
    logged = []

    class Logs(Hook):
        def on_step_end(self, trainer) -> None:
            if trainer.logs is not None:
                logged.append(trainer.step)

    make_trainer(Logs(), log_every_steps=2).fit([make_batch(i) for i in range(5)])
    assert logged == [2, 4, 5]
