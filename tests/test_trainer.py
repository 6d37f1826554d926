"""The loop: events in order, exact normalisation, validation, and going on to the bit."""

import copy
import math
from functools import partial

import numpy as np
import pytest
import torch

from emprot_core import registry
from emprot_core.batch import target_mask
from emprot_core.checkpoint import CheckpointError
from emprot_core.hooks.base import EVENTS, Hook, RunInfo
from emprot_core.training import Trainer
from emprot_core.training.state import PIECES
from emprot_core.training.steps import IterableSteps, with_last


class Recorder(Hook):
    """Notes every event."""

    def __init__(self) -> None:
        self.events: list[str] = []


for _event in EVENTS:
    setattr(Recorder, _event, lambda self, trainer, name=_event: self.events.append(name))


def weights(trainer) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in trainer.model.parameters()])


def test_events_come_in_the_documented_order(make_batch, make_trainer) -> None:
    recorder = Recorder()
    trainer = make_trainer(recorder, max_epochs=1, grad_accum_steps=2)
    trainer.fit([make_batch(i) for i in range(3)], [make_batch(9)])
    step = ["on_step_start", "on_backward_end", "on_step_end"]
    assert recorder.events == [
        "on_fit_start", "on_epoch_start", *step, *step,
        "on_validation_start", "on_validation_step_end", "on_validation_end", "on_epoch_end", "on_fit_end",
    ]  # fmt: skip


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


def test_a_hook_with_a_misspelt_event_is_refused_with_the_nearest() -> None:
    with pytest.raises(TypeError, match="did you mean on_epoch_end"):
        type("Typo", (Hook,), {"on_epoch_ends": lambda self, trainer: None})


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


class StopAt(Hook):
    """Asks to leave at a step, or inside the n-th validation."""

    def __init__(self, step: int | None = None, validation: int | None = None):
        self.step, self.validation = step, validation

    def on_step_end(self, trainer) -> None:
        if trainer.step == self.step:
            trainer.request_stop("asked to", exit_status=130)

    def on_validation_step_end(self, trainer) -> None:
        if trainer.validation_pending and trainer.step == self.validation:
            trainer.request_stop("asked to", exit_status=130)


@pytest.mark.parametrize("place", [{"step": 1}, {"step": 3}, {"step": 4}, {"validation": 3}, {"validation": 9}])
@pytest.mark.parametrize("every", [None, 2])
def test_a_stopped_training_goes_on_to_the_same_bits(make_batch, make_trainer, place, every) -> None:
    train, val = [make_batch(i, missing=True) for i in range(6)], [make_batch(9), make_batch(10)]
    options = {"max_epochs": 3, "grad_accum_steps": 2, "validate_every_steps": every, "log_every_steps": 2}
    whole = make_trainer(**options)
    whole.fit(train, val)

    first = make_trainer(StopAt(**place), **options)
    first.fit(train, val)
    state = copy.deepcopy(first.state_dict())
    torch.manual_seed(12345)
    second = make_trainer(StopAt(), **options)
    second.load_state_dict(state)
    second.fit(train, val)
    assert torch.equal(weights(second), weights(whole))
    assert second.best == whole.best
    assert second.val_logs == whole.val_logs
    assert second.epoch_sums.means() == whole.epoch_sums.means()
    assert (second.epoch, second.step) == (whole.epoch, whole.step) == (3, 9)


def test_a_state_without_one_of_its_pieces_is_refused(make_batch, make_trainer) -> None:
    trainer = make_trainer()
    trainer.fit([make_batch()])
    state = trainer.state_dict()
    assert set(PIECES) == state.keys() - {"evaluation_state_dict"}
    for piece in PIECES:
        lacking = {name: value for name, value in state.items() if name != piece}
        with pytest.raises(CheckpointError, match=f"the checkpoint lacks {piece},"):
            make_trainer().load_state_dict(lacking)


def test_order_of_the_hooks_changes_nothing(make_batch, make_trainer) -> None:
    from emprot_core import registry

    names = ("ClipGradients", "NonFinite", "EarlyStopping")
    results = []
    for order in (names, names[::-1]):
        trainer = make_trainer(*(registry.get("hook", name)() for name in order), max_epochs=3)
        trainer.fit([make_batch(i) for i in range(3)], [make_batch(9)])
        results.append((weights(trainer), trainer.val_logs))
    assert torch.equal(results[0][0], results[1][0])
    assert results[0][1] == results[1][1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"future_cluster_ids": torch.zeros(4, 7, dtype=torch.long)}, r"expected \(B, F, N\)"),
        ({"input_cluster_ids": torch.full((4, 5, 7), 11)}, r"input_cluster_ids\[0, 0, 0\] is 11, expected -1"),
        ({"future_step_mask": torch.zeros(4, 3, dtype=torch.bool)}, "no valid target"),
        ({"residue_mask": torch.ones(4, 6, dtype=torch.bool)}, "axis N must agree"),
        ({"history_mask": torch.ones(4, 5, 7)}, "expected bool"),
        ({"times": torch.full((4, 5), float("nan"))}, "not finite"),
    ],
)
def test_a_wrong_batch_is_refused_before_it_is_used(make_batch, make_trainer, change, message: str) -> None:
    trainer = make_trainer()
    before = weights(trainer).clone()
    with pytest.raises(ValueError, match=message):
        trainer.fit([{**make_batch(), **change}])
    assert torch.equal(weights(trainer), before)


def test_a_batch_without_a_key_is_refused(make_batch, make_trainer) -> None:
    batch = make_batch()
    del batch["history_mask"]
    with pytest.raises(ValueError, match=r"no 'history_mask'.*add history_mask of shape \(B, T, N\), dtype bool"):
        make_trainer().fit([batch])


@pytest.mark.parametrize(("loader", "message"), [([], "train loader is empty"), (iter([]), "set max_steps")])
def test_a_loader_that_cannot_be_counted_is_refused(make_trainer, loader, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_trainer().fit(loader)


def test_a_loader_without_a_length_trains_with_max_steps(make_batch, make_trainer) -> None:
    class Endless:
        def __iter__(self):
            return iter(make_batch(i) for i in range(100))

    trainer = make_trainer(max_steps=3)
    trainer.fit(Endless(), [make_batch(9)])
    assert trainer.step == 3


@pytest.mark.parametrize("num_batches", [0, 3])
def test_a_loader_that_gives_nothing_in_an_epoch_ends_training(make_batch, make_trainer, num_batches: int) -> None:
    trainer = make_trainer(max_epochs=5, max_steps=10)
    with pytest.raises(ValueError, match=f"no batch in epoch {1 + (num_batches > 0)}"):
        trainer.fit(make_batch(i) for i in range(num_batches))
    assert trainer.step == num_batches


def test_an_empty_validation_loader_is_refused(make_batch, make_trainer) -> None:
    with pytest.raises(ValueError, match="gave no batch"):
        make_trainer().fit([make_batch()], [])


@pytest.mark.parametrize("name", ["max_epochs", "grad_accum_steps", "log_every_steps", "validate_every_steps"])
def test_numbers_below_one_are_refused(make_trainer, name: str) -> None:
    with pytest.raises(ValueError, match=rf"Trainer\.{name} is 0"):
        make_trainer(**{name: 0})


def test_a_loss_that_reads_features_names_a_model_that_lacks_them(make_trainer) -> None:
    class FromFeatures:
        inputs = "features"

        def __call__(self, outputs, batch) -> None: ...

    trainer = make_trainer()
    bare = torch.nn.Linear(1, 1)
    bare.num_clusters, bare.future_horizon = 11, 3
    with pytest.raises(ValueError, match="Linear does not give"):
        type(trainer)(bare, FromFeatures(), None)


def test_steps_of_an_iterable_can_start_anywhere(make_batch) -> None:
    steps = IterableSteps(list(range(7)))
    assert steps.num_steps(2) == 4
    assert list(steps.steps(0, 2, 2)) == [[4, 5], [6]]
    assert list(with_last(iter("abc"))) == [("a", False), ("b", False), ("c", True)]
    assert list(with_last(iter(""))) == []


@pytest.mark.parametrize(
    ("in_training", "parts"),
    [
        (True, ["step 2", "4 windows of 5 + 3 frames x 7 residues", "11 clusters", "TrajectoryWindows.batch_size"]),
        (False, ["validation after step 1", "TrajectoryWindows.eval_batch_size"]),
    ],
)
def test_a_device_without_memory_names_the_shapes_and_the_binding_to_lower(
    make_batch, make_trainer, in_training: bool, parts: list[str]
) -> None:
    trainer = make_trainer(max_epochs=2)

    def run_out(module, arguments) -> None:
        if module.training == in_training and trainer.step == 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nmore about it")

    trainer.model.register_forward_pre_hook(run_out)
    with pytest.raises(ValueError, match="Tried to allocate") as caught:
        trainer.fit([make_batch()], [make_batch(9)])
    assert all(part in str(caught.value) for part in parts)


@pytest.mark.parametrize("digest", ["same", "changed"])
def test_rates_that_a_changed_config_binds_hold_after_a_resume(make_batch, make_trainer, digest: str) -> None:
    seen: dict[str, list[tuple[float, float]]] = {}

    class Watch(Hook):
        def __init__(self, name: str):
            self.rates = seen.setdefault(name, [])

        def on_step_start(self, trainer) -> None:
            group = trainer.optimizer.param_groups[0]
            self.rates.append((group["lr"], group["weight_decay"]))

    def make(name: str, learning_rate: float, *hooks: Hook, digest: str = "same") -> Trainer:
        adamw = partial(registry.get("optimizer", "adamw"), learning_rate=learning_rate, weight_decay=learning_rate)
        trainer = make_trainer(Watch(name), *hooks, optimizer=adamw)
        trainer.attach(RunInfo(config_digest=digest))
        return trainer

    batches = [make_batch(i) for i in range(6)]
    make("old", 1e-2).fit(batches)
    make("new", 1e-3).fit(batches)
    first = make("first", 1e-2, StopAt(3))
    first.fit(batches)
    second = make("second", 1e-3, digest=digest)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    second.fit(batches)
    np.testing.assert_allclose(seen["second"], seen["old" if digest == "same" else "new"][3:], rtol=1e-12)


def test_a_state_of_another_optimizer_is_refused(make_batch, make_trainer) -> None:
    first = make_trainer()
    first.fit([make_batch()])
    second = make_trainer(optimizer=registry.get("optimizer", "sgd"))
    second.load_state_dict(first.state_dict())
    with pytest.raises(CheckpointError, match=r"has the state of FlatAdamW, this trainer has SGD.*run\.init_from"):
        second.fit([make_batch()])


def test_a_loss_without_inputs_and_an_optimizer_that_returns_nothing_are_named(make_batch, make_trainer) -> None:
    with pytest.raises(ValueError, match=r"Trainer\.loss is a function, expected an object with `inputs`"):
        make_trainer(loss=lambda outputs, batch: None)
    with pytest.raises(ValueError, match=r"Trainer\.optimizer gave a NoneType"):
        make_trainer(optimizer=lambda named: None).fit([make_batch()])


def test_the_last_step_is_logged_whatever_the_rhythm(make_batch, make_trainer) -> None:
    logged = []

    class Logs(Hook):
        def on_step_end(self, trainer) -> None:
            if trainer.logs is not None:
                logged.append(trainer.step)

    make_trainer(Logs(), log_every_steps=2).fit([make_batch(i) for i in range(5)])
    assert logged == [2, 4, 5]
