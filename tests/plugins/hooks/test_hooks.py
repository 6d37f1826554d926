"""Each hook by what it does to a training."""

import pytest
import torch
from trainings import Watch, hook, weights

from emprot_core import registry
from emprot_core.checkpoint import CheckpointError, CheckpointStore, load_checkpoint
from emprot_core.hooks.base import RunInfo
from emprot_core.training.sums import MetricSums

MaskedCrossEntropy = registry.get("loss", "MaskedCrossEntropy")


def test_a_patience_below_1_is_refused() -> None:
    with pytest.raises(ValueError, match="patience is 0, expected 1 or more, or None"):
        hook("EarlyStopping", patience=0)


def test_clipping_scales_the_gradients_down_to_the_norm(make_batch, make_trainer) -> None:
    watch = Watch()
    make_trainer(hook("ClipGradients", max_grad_norm=0.01), watch).fit([make_batch()])
    assert watch.norm_after == pytest.approx(0.01, rel=1e-3)
    assert watch.norm_before > 0.1


def test_clipping_leaves_small_gradients_alone(make_batch, make_trainer) -> None:
    watch = Watch()
    make_trainer(hook("ClipGradients", max_grad_norm=1e6), watch).fit([make_batch()])
    assert watch.norm_after == pytest.approx(watch.norm_before, rel=1e-6)


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
    for tag, again in {"train/total_loss": "skill/loss/train", "val/total_loss": "skill/loss/val"}.items():
        pairs = [[(event.step, event.value) for event in events.Scalars(name)] for name in (tag, again)]
        assert pairs[0] == pairs[1]
    assert events.Scalars("val/total_loss")[-1].value == pytest.approx(trainer.val_logs["val/total_loss"])
    assert len(list(tmp_path.glob("events.out.tfevents*"))) == 1
    assert "_hparams_/session_start_info" in events.PluginTagToContent("hparams")
    assert "run.seed = 0" in str(events.Tensors("config/text_summary")[0].tensor_proto.string_val[0])


def test_the_hparams_page_shows_the_columns_of_all_runs_and_can_sort_by_the_gain(
    make_batch, make_trainer, tmp_path
) -> None:
    from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
    from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
    from tensorboard.context import RequestContext
    from tensorboard.plugins.base_plugin import TBContext
    from tensorboard.plugins.hparams.backend_context import Context

    for name, own in {"a": {"gin_file": "a.gin"}, "b": {"gin_file": "b.gin", "Trainer.optimizer": "@sgd"}}.items():
        trainer = make_trainer(hook("TensorBoard"))
        trainer.attach(RunInfo(directory=tmp_path / name, hparams=own, bar_nll_bits=(2.0, 2.1, None)))
        trainer.fit([make_batch()], [make_batch(9)])
    runs = EventMultiplexer().AddRunsFromDirectory(str(tmp_path)).Reload()
    context = Context(TBContext(data_provider=MultiplexerDataProvider(runs, str(tmp_path)), logdir=str(tmp_path)))
    found = RequestContext(), ""
    experiment = context.experiment_from_metadata(
        *found, True, context.hparams_metadata(*found), context.hparams_from_data_provider(*found, 100)
    )
    assert [each.name for each in experiment.hparam_infos] == ["gin_file", "Trainer.optimizer"]
    metrics = [each.name.tag for each in experiment.metric_infos]
    assert metrics[:2] == ["skill/gain_over_best/h1", "skill/gain_over_best/h2"]
    assert {"skill/loss/val", "val/total_loss"} <= set(metrics)


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
