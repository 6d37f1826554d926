"""A training that is taken up again: the same bits, or a refusal."""

import copy
from functools import partial

import numpy as np
import pytest
import torch
from trainings import StopAt, weights

from emprot_core import registry
from emprot_core.checkpoint import CheckpointError
from emprot_core.data.iterable_steps import IterableSteps
from emprot_core.hooks.base import Hook, RunInfo
from emprot_core.training import Trainer
from emprot_core.training.trainer import PIECES


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


class Reads(IterableSteps):
    """Batches of which an epoch is begun a few times at most: an endless loop ends as an error."""

    def __init__(self, batches):
        super().__init__(batches)
        self.num_epochs = 0

    def steps(self, *arguments):
        self.num_epochs += 1
        assert self.num_epochs < 10, "the loop does not end"
        return super().steps(*arguments)


def test_a_training_that_was_left_in_a_validation_ends_where_there_is_none_to_do(make_batch, make_trainer) -> None:
    train = [make_batch(i) for i in range(3)]
    first = make_trainer(StopAt(validation=3), max_epochs=2)
    first.fit(train, [make_batch(9)])
    assert (first.epoch, first.step) == (0, 3)
    second = make_trainer(max_epochs=2)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    second.fit(Reads(train))
    assert (second.epoch, second.step) == (2, 6)
