"""What ends a training: signals, requests of hooks, errors."""

import os
import signal

import pytest
import torch
from trainings import hook

from emprot_core import registry
from emprot_core.checkpoint import CheckpointStore
from emprot_core.hooks.base import Hook, RunInfo

MaskedCrossEntropy = registry.get("loss", "MaskedCrossEntropy")


def test_early_stopping_waits_for_its_patience(make_batch, make_trainer) -> None:
    stopping = hook("EarlyStopping", patience=2, min_delta=0.5)
    trainer = make_trainer(
        stopping, max_epochs=20, optimizer=lambda named: torch.optim.SGD([p for _, p in named], lr=0)
    )
    trainer.fit([make_batch()], [make_batch(9)])
    assert trainer.epoch == 3
    assert trainer.stop.exit_status == 0
    assert "early stopping" in trainer.stop.reason
    assert stopping.state_dict() == {"best": trainer.best["val/total_loss"], "num_without_gain": 2}


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGUSR1, 143)])
def test_a_signal_ends_training_after_the_step_with_a_checkpoint(make_batch, make_trainer, tmp_path, number, status):
    class Send(Hook):
        def on_step_start(self, trainer) -> None:
            if trainer.step == 1:
                os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    trainer = make_trainer(Send(), hook("Preemption"), hook("Checkpoint"), max_epochs=5)
    trainer.attach(RunInfo(directory=tmp_path))
    trainer.fit([make_batch(i) for i in range(4)])
    assert trainer.step == 2
    assert trainer.stop.exit_status == status
    assert signal.getsignal(number) is before
    assert CheckpointStore(tmp_path / "checkpoints").names() == ["step-00000002.pt"]


def test_a_second_signal_ends_at_once_unless_it_is_the_same_event(make_batch, make_trainer, monkeypatch) -> None:
    left: list[int] = []
    monkeypatch.setattr(os, "_exit", left.append)
    preemption = hook("Preemption")

    class Send(Hook):
        def on_step_start(self, trainer) -> None:
            for _ in range(2):  # from a launcher and a scheduler
                os.kill(os.getpid(), signal.SIGTERM)
            assert not left
            preemption._received_at -= 2.0
            os.kill(os.getpid(), signal.SIGTERM)

    make_trainer(preemption, Send()).fit([make_batch()])
    assert left == [143]


@pytest.mark.parametrize("order", [1, -1])
def test_of_two_requests_to_stop_the_more_urgent_counts(make_batch, make_trainer, order: int) -> None:
    class Ask(Hook):
        def __init__(self, status: int):
            self.status = status

        def on_step_end(self, trainer) -> None:
            trainer.request_stop(f"status {self.status}", self.status)

    trainer = make_trainer(*[Ask(0), Ask(143), Ask(130)][::order], max_epochs=5)
    trainer.fit([make_batch()])
    assert (trainer.step, trainer.stop) == (1, ("status 143", 143))


def test_a_stop_that_was_asked_for_before_a_kill_still_holds_unless_the_config_changed(
    make_batch, make_trainer
) -> None:
    class Keep(Hook):
        def on_validation_end(self, trainer) -> None:
            trainer.request_save(lambda state: setattr(self, "state", state))

    def make(*more: Hook, digest: str = "a"):
        stopping = hook("EarlyStopping", patience=1, min_delta=9.0)
        trainer = make_trainer(stopping, *more, max_epochs=4)
        trainer.attach(RunInfo(config_digest=digest))
        return trainer

    keep, batches = Keep(), ([make_batch()], [make_batch(9)])
    make(keep).fit(*batches)
    same, changed = make(), make(digest="b")
    for trainer, epochs in ((same, 2), (changed, 3)):
        trainer.load_state_dict(keep.state)
        trainer.fit(*batches)
        assert trainer.epoch == epochs
        assert "early stopping" in trainer.stop.reason


def test_an_error_in_a_hook_names_the_hook_and_the_event(make_batch, make_trainer) -> None:
    class Breaks(Hook):
        def on_step_end(self, trainer) -> None:
            raise ValueError("operands could not be broadcast together")

    with pytest.raises(ValueError, match="broadcast") as caught:
        make_trainer(Breaks()).fit([make_batch()])
    assert caught.value.__notes__ == ["in on_step_end of the hook Breaks"]


def test_a_hook_that_fails_after_an_error_does_not_hide_it(make_batch, make_trainer, caplog) -> None:
    ended = []

    class Fails(Hook):
        def on_step_end(self, trainer) -> None:
            raise RuntimeError("the first")

        def on_exception(self, trainer) -> None:
            raise OSError("the second")

    class Ends(Hook):
        def on_exception(self, trainer) -> None:
            ended.append(trainer.exception)

    with pytest.raises(RuntimeError, match="the first"):
        make_trainer(Fails(), Ends()).fit([make_batch()])
    assert len(ended) == 1
    assert "the second" in caplog.text
