"""EMPROTTrainer: its keys, its methods alone and together, its numbers."""

import math

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from emprot_core.batch import target_mask
from emprot_core.checkpoint import load_checkpoint
from emprot_core.training import EMPROTTrainer

CONFIG = {
    "d_embed": 16, "num_heads": 2, "num_layers": 1, "future_horizon": 3, "num_clusters": 11,
    "learning_rate": 1e-2, "weight_decay": 0.01, "betas": (0.9, 0.98),
    "max_epochs": 2, "grad_accum_steps": 1, "max_grad_norm": 1.0, "use_amp": True,
    "use_scheduler": True, "warmup_proportion": 0.1, "min_lr": 1e-4,
    "patience": 3, "early_stopping_min_delta": 0.0, "use_wandb": False,
}  # fmt: skip


def float64_cross_entropy(trainer: EMPROTTrainer, batches) -> float:
    """Masked cross-entropy of the model's own logits, computed apart from the framework."""
    trainer.model.eval()
    nats, count = 0.0, 0
    for batch in batches:
        with torch.no_grad():
            logits = trainer.model(
                batch["input_cluster_ids"], batch["times"], batch["sequence_lengths"], batch["history_mask"]
            )["cluster_logits"]  # fmt: skip
        mask = target_mask(batch).numpy()
        z = logits.double().numpy()[mask]
        y = batch["future_cluster_ids"].numpy()[mask]
        z = z - z.max(-1, keepdims=True)
        nats += float((np.log(np.exp(z).sum(-1)) - z[np.arange(len(y)), y]).sum())
        count += len(y)
    return nats / count


def test_val_total_loss_equals_an_independent_float64_cross_entropy(make_batch) -> None:
    val = [make_batch(i, missing=True) for i in range(20, 23)]
    val[1]["residue_mask"][:, 2:] = False
    val[2]["future_step_mask"][:, 1:] = False
    trainer = EMPROTTrainer(CONFIG)
    trainer.train_epoch([make_batch(i) for i in range(4)])
    logs = trainer.validate(val)
    assert logs["val/total_loss"] == pytest.approx(float64_cross_entropy(trainer, val), rel=1e-6)


def test_train_returns_the_best_validation_loss_and_writes_checkpoints(make_batch, tmp_path) -> None:
    trainer = EMPROTTrainer({**CONFIG, "checkpoint_dir": str(tmp_path)})
    val = [make_batch(9)]
    best = trainer.train([make_batch(i) for i in range(4)], val, [make_batch(10)])
    assert math.isfinite(best)
    again = EMPROTTrainer(CONFIG)
    assert again.load_checkpoint(tmp_path / "best.pt") is True
    assert again.validate(val)["val/total_loss"] == pytest.approx(best, abs=1e-12)
    assert load_checkpoint(tmp_path / "final.pt")["config"]["d_embed"] == 16
    assert set(trainer.test_metrics) >= {"test/total_loss", "test/token_ce", "test/token_accuracy"}


def test_the_test_loader_is_scored_once_with_the_best_weights(make_batch, tmp_path) -> None:
    reads = []

    class Counted(list):
        def __iter__(self):
            reads.append(1)
            return super().__iter__()

    trainer = EMPROTTrainer({**CONFIG, "max_epochs": 4, "checkpoint_dir": str(tmp_path), "learning_rate": 0.3})
    test = Counted([make_batch(10)])
    trainer.train([make_batch(i) for i in range(4)], [make_batch(9)], test)
    assert len(reads) == 1
    best = EMPROTTrainer(CONFIG)
    best.load_checkpoint(tmp_path / "best.pt")
    expected = best.validate([make_batch(10)])["val/total_loss"]
    assert trainer.test_metrics["test/total_loss"] == pytest.approx(expected, abs=1e-12)


def test_each_method_works_alone(make_batch) -> None:
    batches = [make_batch(i) for i in range(2)]
    assert "val/total_loss" in EMPROTTrainer(CONFIG).validate(batches)
    assert {"total_loss", "token_ce", "token_accuracy"} <= EMPROTTrainer(CONFIG).train_epoch(batches).keys()
    trainer = EMPROTTrainer(CONFIG)
    losses = [trainer.train_epoch(batches)["total_loss"] for _ in range(6)]  # past max_epochs, as asked for
    assert losses[-1] < losses[0]


def test_a_torch_dataloader_feeds_it(make_batch) -> None:
    whole = make_batch(num_windows=8)
    fields = ("input_cluster_ids", "times", "sequence_lengths", "history_mask")
    fields += ("residue_mask", "future_cluster_ids", "future_step_mask")

    class Windows(Dataset):
        def __len__(self) -> int:
            return 8

        def __getitem__(self, index: int) -> dict:
            return {name: whole[name][index] for name in fields}

    loader = DataLoader(Windows(), batch_size=3, shuffle=True)
    assert math.isfinite(EMPROTTrainer(CONFIG).train(loader, DataLoader(Windows(), batch_size=4)))


def test_optional_keys_pass_through_unread(make_batch) -> None:
    batch = make_batch()
    more = {
        "delta_t": torch.zeros(4),
        "change_mask": torch.zeros(4, 7),
        "run_length": torch.zeros(4, 7),
        "names": ["a"],
    }
    plain, extra = EMPROTTrainer(CONFIG), EMPROTTrainer(CONFIG)
    assert plain.validate([batch]) == extra.validate([{**batch, **more}])


def test_a_batch_without_times_is_accepted(make_batch) -> None:
    batch = make_batch()
    del batch["times"]
    assert math.isfinite(EMPROTTrainer(CONFIG).train([batch], [batch]))


def test_without_validation_train_returns_the_loss_of_the_last_epoch(make_batch) -> None:
    assert math.isfinite(EMPROTTrainer(CONFIG).train([make_batch()]))


def test_a_training_that_ended_without_a_validation_has_no_best_loss(make_batch, tmp_path) -> None:
    batches = [make_batch()]
    config = {**CONFIG, "checkpoint_dir": str(tmp_path)}
    EMPROTTrainer(config).train(batches)
    again = EMPROTTrainer(config)
    again.load_checkpoint(tmp_path / "final.pt")
    assert math.isnan(again.train(batches, batches))


def test_two_trainers_of_one_seed_agree_to_the_bit(make_batch) -> None:
    losses = [EMPROTTrainer({**CONFIG, "seed": 7}).train([make_batch()], [make_batch(1)]) for _ in range(2)]
    assert losses[0] == losses[1]


def test_the_scheduler_and_the_clipping_are_optional(make_batch) -> None:
    config = {**CONFIG, "use_scheduler": False, "max_grad_norm": None, "use_amp": False, "patience": None}
    assert math.isfinite(EMPROTTrainer(config).train([make_batch()], [make_batch(1)]))


def test_cluster_lookup_initialises_the_embedding() -> None:
    lookup = np.random.default_rng(0).normal(size=(11, 16)).astype(np.float32)
    rows = EMPROTTrainer(CONFIG, cluster_lookup=lookup).model.cluster_embedding.rows.weight[:11]
    assert np.corrcoef(rows.detach().numpy().ravel(), (lookup - lookup.mean(0)).ravel())[0, 1] > 0.999


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"learning_rat": 1.0}, "unknown key 'learning_rat'; did you mean learning_rate"),
        ({"use_wandb": "yes"}, "use_wandb|enabled wants bool, got 'yes'"),
        ({"max_epochs": 0}, "max_epochs is 0"),
        ({"max_epochs": "six"}, "max_epochs wants int, got 'six'"),
        ({"learning_rate": True}, "learning_rate wants float, got True"),
        ({"patience": 1.5}, "patience wants int \\| None, got 1.5"),
    ],
)
def test_a_wrong_config_is_refused(change, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EMPROTTrainer({**CONFIG, **change})


def test_numbers_of_numpy_whole_rates_and_paths_are_taken(tmp_path) -> None:
    change = {"max_epochs": np.int64(2), "learning_rate": 1, "betas": [0.9, 0.99], "checkpoint_dir": tmp_path}
    assert EMPROTTrainer({**CONFIG, **change}).config["max_epochs"] == 2


def test_num_clusters_is_never_guessed() -> None:
    with pytest.raises(ValueError, match="no num_clusters"):
        EMPROTTrainer({"d_embed": 16})


def test_training_without_a_loader_is_refused() -> None:
    with pytest.raises(ValueError, match="train_loader is None"):
        EMPROTTrainer(CONFIG).train()


def test_a_checkpoint_that_does_not_exist_is_not_loaded(tmp_path) -> None:
    assert EMPROTTrainer(CONFIG).load_checkpoint(tmp_path / "none.pt") is False
