"""The models learn what there is to learn: short trainings on the process with a known answer."""

from functools import partial

import pytest
import torch

from emprot_core import registry
from emprot_core.training import Trainer

NEIGHBOUR_BLIND_FLOOR = 0.40  # bits of KL that a residue's own past cannot get below


def kl_bits_after(mixing: str, num_steps: int) -> float:
    """The KL to the exact conditional after the first steps of the 700 of synthetic.gin."""
    get = registry.get
    torch.manual_seed(0)
    data = get("data", "Synthetic")(history=2, horizon=1, train_windows=64 * num_steps, validation_windows=512)
    model = get("model", "ProteinTransformerClassificationOnly")(
        d_embed=64, num_heads=4, num_layers=2, future_horizon=1, num_clusters=16, dropout=0.0, max_history=2,
        mixing=get("mixing", mixing)(), residue_embedding=24, residue_embedding_std=0.5, time_embedding_std=0.5,
    )  # fmt: skip
    trainer = Trainer(
        model,
        get("loss", "MaskedCrossEntropy")(),
        partial(get("optimizer", "adamw"), learning_rate=3e-3, weight_decay=0.0, betas=(0.9, 0.98)),
        lambda optimizer, _: get("scheduler", "cosine_with_warmup")(optimizer, 700, min_lr=3e-5),
        metrics=[get("metric", "ExactKL")()],
        hooks=[get("hook", "ClipGradients")(1.0)],
    )
    trainer.fit(data.loader("train"), data.loader("validation"))
    return trainer.val_logs["val/kl_bits"]


@pytest.mark.campaign
def test_axial_finds_memory_and_neighbour() -> None:
    assert kl_bits_after("Axial", 200) < 0.30


@pytest.mark.campaign
def test_temporal_learns_the_memory_and_cannot_see_the_neighbour() -> None:
    assert NEIGHBOUR_BLIND_FLOOR < kl_bits_after("Temporal", 150) < 0.75
