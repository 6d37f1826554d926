"""Batches of several proteins with holes and padding, for the tests of the baselines."""

from collections.abc import Callable

import pytest
import torch

from emprot_core.batch import Batch

GROUPS = torch.tensor([(1 << 62) + 12345, 7, (1 << 62) + 12345, (1 << 63) - 1])
"""Three proteins in four windows, named by hashes of 63 bits."""


@pytest.fixture
def make_ragged_batch(make_batch: Callable[..., Batch]) -> Callable[..., Batch]:
    """A factory of batches as make_batch gives them: a third of all IDs missing, and windows of 4 to 7 residues."""

    def make(seed: int, history: int = 12, **options: int) -> Batch:
        batch = make_batch(seed, missing=True, history=history, **options)
        generator = torch.Generator().manual_seed(seed)
        batch["sequence_lengths"] = torch.tensor([7, 4, 7, 6])
        batch["residue_mask"] = torch.arange(7) < batch["sequence_lengths"][:, None]
        hidden = torch.rand(batch["history_mask"].shape, generator=generator) < 0.3
        hidden[1, :, 2] = True  # a residue of which nothing is known
        batch["history_mask"] &= ~hidden & batch["residue_mask"][:, None]
        batch["input_cluster_ids"] = batch["input_cluster_ids"].where(batch["residue_mask"][:, None], -1)
        return {**batch, "group_ids": GROUPS}

    return make
