"""Activations computed twice change memory, and no number."""

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks
from trainings import weights

from emprot_core import registry

ActivationCheckpointing = registry.get("hook", "ActivationCheckpointing")


@pytest.mark.parametrize("hooks", [[], ["MixedPrecision"]])
def test_a_training_with_dropout_is_the_same_to_the_bit(make_batch, make_trainer, hooks: list[str]) -> None:
    results = []
    for more in ([], [ActivationCheckpointing()]):
        options = [registry.get("hook", name)(dtype="bfloat16") for name in hooks]
        trainer = make_trainer(*options, *more, dropout=0.3, max_epochs=2, grad_accum_steps=2)
        trainer.fit([make_batch(i) for i in range(4)], [make_batch(9)])
        results.append((weights(trainer), trainer.val_logs))
    assert torch.equal(results[0][0], results[1][0])
    assert results[0][1] == results[1][1]


def test_fewer_numbers_wait_for_the_backward_pass(make_batch, make_trainer) -> None:
    kept = []
    for hooks in ([], [ActivationCheckpointing()]):
        trainer = make_trainer(*hooks)
        trainer.fit([make_batch()])
        sizes: list[int] = []
        with saved_tensors_hooks(lambda tensor, sizes=sizes: sizes.append(tensor.numel()) or tensor, lambda x: x):
            trainer.forward_loss.train()(make_batch(num_residues=40))
        kept.append(sum(sizes))
    assert kept[1] < 0.6 * kept[0]


def test_modules_that_are_not_there_are_named(make_batch, make_trainer) -> None:
    with pytest.raises(ValueError, match=r"\['Layer'\], none of which is in the model; it has AttentionLayer"):
        make_trainer(ActivationCheckpointing(["Layer"])).fit([make_batch()])
