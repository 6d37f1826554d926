"""What a trainer refuses, and what it says."""

from functools import partial

import pytest
import torch
from trainings import weights

from emprot_core import registry
from emprot_core.hooks.base import Hook


def test_a_hook_with_a_misspelt_event_is_refused_with_the_nearest() -> None:
    with pytest.raises(TypeError, match="did you mean on_epoch_end"):
        type("Typo", (Hook,), {"on_epoch_ends": lambda self, trainer: None})


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
    with pytest.raises(ValueError, match=r"^Linear \(.*expected features\(\) and classifier\(\)"):
        type(trainer)(bare, FromFeatures(), None)


@pytest.mark.parametrize(
    ("in_training", "parts"),
    [
        (
            True,
            [
                "step 2",
                "4 windows of 5 + 3 frames x 7 residues",
                "11 clusters",
                "batch_size of Train.data",
                "@losses.LinearCrossEntropy()",
            ],
        ),
        (False, ["validation after step 1", "eval_batch_size of Train.data"]),
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


def test_a_loss_without_inputs_and_an_optimizer_that_returns_nothing_are_named(make_batch, make_trainer) -> None:
    with pytest.raises(ValueError, match=r"expected an attribute inputs, .*, got no such attribute"):
        make_trainer(loss=lambda outputs, batch: None)
    with pytest.raises(ValueError, match=r"expected a torch Optimizer, got None; does the function return it"):
        make_trainer(optimizer=lambda named: None).fit([make_batch()])


def test_a_value_that_an_optimizer_refuses_comes_with_the_values_it_was_given(make_batch, make_trainer) -> None:
    optimizer = partial(registry.get("optimizer", "adamw"), learning_rate=-1.0)
    with pytest.raises(ValueError, match=r"Trainer\.optimizer: Invalid learning rate: -1\.0") as caught:
        make_trainer(optimizer=optimizer).fit([make_batch()])
    assert caught.value.__notes__ == ["raised by adamw(learning_rate=-1.0)"]


@pytest.mark.parametrize("batch", [(torch.zeros(2), torch.zeros(2)), torch.zeros(2)])
def test_a_batch_that_is_no_mapping_is_refused(make_trainer, batch) -> None:
    with pytest.raises(
        ValueError, match=rf"a batch is a {type(batch).__name__}, expected a mapping of names to tensors"
    ):
        make_trainer().fit([batch])
