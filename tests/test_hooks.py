"""Each hook by what it does to a training."""

import json
import math
import os
import signal

import pytest
import torch

from emprot_core import registry
from emprot_core.checkpoint import CheckpointStore, load_checkpoint
from emprot_core.hooks.base import Hook, RunInfo
from emprot_core.hooks.non_finite import NonFiniteError


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


def test_a_gradient_that_is_not_finite_is_withheld_and_its_windows_named(make_batch, make_trainer, tmp_path) -> None:
    class Poison(Hook):
        def on_step_start(self, trainer) -> None:
            if trainer.step == 1:
                trainer.model.output_bias.register_hook(lambda gradient: gradient * float("nan"))

    watch = Watch()
    trainer = make_trainer(Poison(), watch, hook("ClipGradients"), hook("NonFinite"))
    trainer.attach(RunInfo(directory=tmp_path))
    batches = [{**make_batch(i), "window_ids": torch.arange(4) + 10 * i} for i in range(3)]
    with pytest.raises(NonFiniteError, match="step 2 is not finite"):
        trainer.fit(batches)
    assert torch.equal(weights(trainer), watch.before)
    report = json.loads((tmp_path / "non_finite.json").read_text())
    assert report["withheld"] == [{"step": 2, "window_ids": [10, 11, 12, 13]}]


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
        ("MixedPrecision", {"dtype": "float8"}, "dtype is 'float8'"),
    ],
)
def test_impossible_options_are_refused(name: str, options, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        hook(name, **options)
