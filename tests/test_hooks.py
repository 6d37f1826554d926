"""Each hook by what it does to a training."""

import copy
import math
import os
import signal
from functools import partial
from types import SimpleNamespace

import pytest
import torch

from emprot_core import registry
from emprot_core.checkpoint import CheckpointError, CheckpointStore, load_checkpoint, read_sealed_json
from emprot_core.hooks.base import Hook, RunInfo
from emprot_core.hooks.non_finite import NonFiniteError
from emprot_core.training.sums import MetricSums

MaskedCrossEntropy = registry.get("loss", "MaskedCrossEntropy")


def hook(name: str, **options):
    return registry.get("hook", name)(**options)


def weights(trainer) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in trainer.model.parameters()])


class Watch(Hook):
    """Keeps the gradient norm after all other hooks of the event, and the weights before the step."""

    def on_step_start(self, trainer) -> None:
        self.before = weights(trainer).clone()

    def on_backward_end(self, trainer) -> None:
        self.norm_before = float(trainer.gradient_norm())
        self.norm_after = math.sqrt(sum(float(p.grad.double().square().sum()) for p in trainer.parameters))


def test_clipping_scales_the_gradients_down_to_the_norm(make_batch, make_trainer) -> None:
    watch = Watch()
    make_trainer(hook("ClipGradients", max_grad_norm=0.01), watch).fit([make_batch()])
    assert watch.norm_after == pytest.approx(0.01, rel=1e-3)
    assert watch.norm_before > 0.1


def test_clipping_leaves_small_gradients_alone(make_batch, make_trainer) -> None:
    watch = Watch()
    make_trainer(hook("ClipGradients", max_grad_norm=1e6), watch).fit([make_batch()])
    assert watch.norm_after == pytest.approx(watch.norm_before, rel=1e-6)


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


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_mixed_precision_computes_in_the_dtype_and_updates_float32_weights(make_batch, make_trainer, dtype) -> None:
    seen = []
    trainer = make_trainer(hook("MixedPrecision", dtype=dtype), hook("ClipGradients"), max_epochs=2)
    trainer.model.register_forward_hook(lambda module, inputs, outputs: seen.append(outputs["cluster_logits"].dtype))
    before = weights(trainer).clone()
    trainer.fit([make_batch(i) for i in range(3)], [make_batch(9)])
    assert set(seen) <= {getattr(torch, dtype), torch.float32}
    assert weights(trainer).dtype == torch.float32
    assert not torch.equal(weights(trainer), before)
    assert trainer.scaler.is_enabled() == (dtype == "float16")


def test_the_logged_gradient_norm_in_float16_equals_that_of_float32(make_batch, make_trainer) -> None:
    norms = []
    for hooks in ([], [hook("MixedPrecision", dtype="float16")]):
        watch = Watch()
        make_trainer(*hooks, watch, dropout=0.0).fit([make_batch()])
        norms.append(watch.norm_before)
    assert norms[1] == pytest.approx(norms[0], rel=2e-2)


def test_mixed_precision_stays_out_of_the_way_on_a_cpu(make_batch, make_trainer) -> None:
    plain, mixed = make_trainer(dropout=0.0), make_trainer(hook("MixedPrecision"), dropout=0.0)
    for trainer in (plain, mixed):
        trainer.fit([make_batch()])
    assert torch.equal(weights(plain), weights(mixed))


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
    record = read_sealed_json(tmp_path / "non_finite.json")
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
        trainer.scheduler = None
        trainer._factories = (trainer._factories[0], None)
        trainer.fit(batches if poison.steps else [batches[0], *batches[3:]])
        results.append(weights(trainer))
    assert torch.equal(*results)
    assert "(1 of 2)" in caplog.text
    record = read_sealed_json(tmp_path / "0" / "non_finite.json")
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


class StopAt(Hook):
    def __init__(self, step: int):
        self.step = step

    def on_step_end(self, trainer) -> None:
        if trainer.step == self.step:
            trainer.request_stop("asked to", exit_status=130)


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


def test_the_state_of_a_hook_that_a_checkpoint_lacks_is_named(make_batch, make_trainer) -> None:
    trainer = make_trainer(hook("EarlyStopping"))
    trainer.fit([make_batch()])
    state = trainer.state_dict()
    for hooks, message in (
        ({}, "no state for the hook EarlyStopping.0"),
        ({"EarlyStopping.0": {"best": 1.0}}, "lacks 'num"),
    ):
        fresh = make_trainer(hook("EarlyStopping"))
        fresh.load_state_dict({**state, "hooks": hooks})
        with pytest.raises(CheckpointError, match=message):
            fresh.fit([make_batch()])


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


def test_the_best_few_validations_are_kept(make_batch, make_trainer, tmp_path) -> None:
    losses = iter([5.0, 3.0, float("nan"), 4.0, 2.0, 6.0])

    trainer = make_trainer(hook("Checkpoint", keep_best=2), max_epochs=6)
    means = MetricSums.means
    trainer.attach(RunInfo(directory=tmp_path))

    def scripted(self, prefix=""):
        return {**means(self, prefix), "val/total_loss": next(losses)} if prefix == "val/" else means(self, prefix)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MetricSums, "means", scripted)
        trainer.fit([make_batch()], [make_batch(9)])
    store = CheckpointStore(tmp_path / "checkpoints")
    names = [name for name in store.names() if name.startswith("best")]
    assert names == ["best-00000002.pt", "best-00000005.pt", "best.pt"]
    assert store.load("best.pt")["step"] == 5


def test_checkpoints_are_written_every_few_steps_at_the_best_and_at_the_end(make_batch, make_trainer, tmp_path) -> None:
    trainer = make_trainer(hook("Checkpoint", every_steps=2, keep_last=2), max_epochs=2)
    trainer.attach(RunInfo(directory=tmp_path, config="the config"))
    trainer.fit([make_batch(i) for i in range(4)], [make_batch(9)])
    store = CheckpointStore(tmp_path / "checkpoints")
    assert store.names() == ["best.pt", "final.pt", "step-00000006.pt", "step-00000008.pt"]
    final = load_checkpoint(tmp_path / "checkpoints" / "final.pt")
    assert {"model_state_dict", "optimizer", "scheduler", "epoch", "config"} <= final.keys()
    assert (final["epoch"], final["step"], final["config"]) == (2, 8, "the config")
    assert store.load("best.pt")["step"] == trainer.best["step"]


def test_tensorboard_holds_train_and_validation_scalars_by_optimizer_step(make_batch, make_trainer, tmp_path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    trainer = make_trainer(hook("TensorBoard"), hook("ClipGradients"), max_epochs=2, log_every_steps=2)
    trainer.attach(RunInfo(directory=tmp_path, config="run.seed = 0", hparams={"run.seed": "0"}))
    trainer.fit([make_batch(i) for i in range(4)], [make_batch(9)])
    events = EventAccumulator(str(tmp_path)).Reload()
    tags = set(events.Tags()["scalars"])
    assert {"train/total_loss", "train/token_ce", "train/token_accuracy", "train/learning_rate"} <= tags
    assert {"train/gradient_norm", "val/total_loss", "val/nll_bits/h3", "time/tokens_per_s"} <= tags
    assert [event.step for event in events.Scalars("train/total_loss")] == [2, 4, 6, 8]
    assert [event.step for event in events.Scalars("val/total_loss")] == [4, 8]
    assert events.Scalars("val/total_loss")[-1].value == pytest.approx(trainer.val_logs["val/total_loss"])
    assert len(list(tmp_path.glob("events.out.tfevents*"))) == 1
    assert "_hparams_/session_start_info" in events.PluginTagToContent("hparams")
    assert "run.seed = 0" in str(events.Tensors("config/text_summary")[0].tensor_proto.string_val[0])


def test_progress_writes_plain_lines_where_there_is_no_terminal(make_batch, make_trainer, caplog) -> None:
    trainer = make_trainer(hook("Progress"), log_every_steps=2)
    with caplog.at_level("INFO", logger="emprot"):
        trainer.fit([make_batch(i) for i in range(4)], [make_batch(9)])
    lines = [record.getMessage() for record in caplog.records]
    assert lines[0].startswith("epoch 1  step 2/4  loss ")
    assert "tokens/s" in lines[0]
    assert "val/total_loss" in lines[-1]
    assert lines[-1].endswith("(best)")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("ClipGradients", {"max_grad_norm": 0}, "max_grad_norm is 0"),
        ("Checkpoint", {"every_steps": 0}, "every_steps is 0"),
        ("NonFinite", {"max_skips": -1}, "max_skips is -1"),
        ("MixedPrecision", {"dtype": "float8"}, "dtype is 'float8'"),
    ],
)
def test_impossible_options_are_refused(name: str, options, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        hook(name, **options)


def test_a_step_whose_flag_a_checkpoint_read_is_reported_at_the_next_log_step() -> None:
    """On CUDA flags wait for a log step; a checkpoint before it reads them too."""
    guard = hook("NonFinite")
    view = SimpleNamespace(
        step=0, is_log_step=False, run=RunInfo(device=torch.device("cuda")), optimizer=None, parameters=[],
        micro_batches=[], scaler=torch.amp.GradScaler(enabled=False), gradient_norm=lambda: torch.tensor(1.0),
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
