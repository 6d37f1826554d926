"""Optimizers: which parameters decay, and what a step does."""

import copy

import pytest
import torch
from optimizing import assert_goes_on_to_the_bit, optimizer, small_model, train_step
from torch import nn

from emprot_core import registry

HAS_MUON = hasattr(torch.optim, "Muon")
OPTIMIZERS = [
    pytest.param(name, marks=pytest.mark.skipif(name == "muon" and not HAS_MUON, reason="torch has no Muon"))
    for name in ("adam", "adamw", "muon", "nadam", "radam", "sgd")
]
SCHEDULERS = ["constant", "cosine_with_warmup", "linear", "one_cycle", "step", "warmup_stable_decay"]


@pytest.mark.parametrize("kind", ["optimizer", "scheduler"])
def test_the_shipped_names_are_the_tested_names(kind: str) -> None:
    shipped = {e.name for e in registry.entries(kind) if e.target.__module__.startswith("emprot_plugins")}
    assert shipped == ({p.values[0] for p in OPTIMIZERS} if kind == "optimizer" else set(SCHEDULERS))


@pytest.mark.parametrize("name", ["adamw", "adam", "nadam", "radam", "sgd"])
def test_biases_and_norms_do_not_decay(name: str) -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.LayerNorm(3))
    named = [*model.named_parameters(), ("output_bias", nn.Parameter(torch.ones(2, 3)))]
    groups = optimizer(name, named, weight_decay=0.1).param_groups
    assert [(len(g["params"]), g["weight_decay"]) for g in groups] == [(1, 0.1), (4, 0.0)]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers_go_downhill(name: str) -> None:
    parameter = nn.Parameter(torch.ones(2, 2))
    steps = optimizer(name, [("w", parameter)], learning_rate=0.1)
    for _ in range(200):
        steps.zero_grad()
        parameter.square().sum().backward()
        steps.step()
    assert float(parameter.detach().abs().max()) < 0.1


@pytest.mark.parametrize("withheld_at", [0, 2])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_step_without_gradients_changes_nothing(name: str, withheld_at: int) -> None:
    """Which is how NonFinite withholds an update."""
    weights = []
    for is_hit in (False, True):
        model = small_model()
        steps = optimizer(name, list(model.named_parameters()), weight_decay=0.1)
        for index in range(4):
            if is_hit and index == withheld_at:
                for parameter in model.parameters():
                    parameter.grad = None
                steps.step()
            train_step(model, steps, [0, 1, index])
        weights.append(list(model.parameters()))
    assert all(torch.equal(first, second) for first, second in zip(*weights, strict=True))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_restored_optimizer_goes_on_to_the_bit(name: str, tmp_path) -> None:
    def make(model: nn.Module) -> torch.optim.Optimizer:
        return optimizer(name, list(model.named_parameters()), weight_decay=0.1)

    assert_goes_on_to_the_bit(make, train_step, tmp_path / "state.pt")


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_restored_optimizer_takes_its_rate_from_the_scheduler(name: str) -> None:
    model = small_model()
    steps = optimizer(name, list(model.named_parameters()), weight_decay=0.0)
    steps.load_state_dict(steps.state_dict())
    registry.get("scheduler", "linear")(steps, 10, warmup_proportion=0.5)
    for group in steps.param_groups:
        group["lr"] = 0.0
    before = copy.deepcopy(list(model.parameters()))
    train_step(model, steps, [0, 1])
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


@pytest.mark.skipif(not HAS_MUON, reason="torch has no Muon")
def test_muon_takes_matrices_and_leaves_tables_biases_and_norms_to_adamw() -> None:
    model = registry.get("model", "ProteinTransformerClassificationOnly")(
        16, num_heads=2, num_layers=1, future_horizon=3, num_clusters=11, residue_embedding=4, tie_embeddings=False
    )
    named = dict(model.named_parameters())
    matrices, decayed, free = optimizer("muon", list(named.items()), weight_decay=0.1).param_groups
    assert "momentum" in matrices
    assert "betas" in decayed
    names = [{name for name, p in named.items() if any(p is q for q in g["params"])} for g in (matrices, decayed, free)]
    assert names[0] == {name for name, p in named.items() if name.startswith("mixing") and p.ndim == 2}
    tables = {"cluster_embedding.rows.weight", "frame_embedding.weight", "residue_embedding.weight", "output_table"}
    assert names[1] == {*tables, "horizon_maps"}  # the maps have three dimensions
    assert "output_bias" in names[2]
    assert [g["weight_decay"] for g in (matrices, decayed, free)] == [0.1, 0.1, 0.0]


@pytest.mark.skipif(not HAS_MUON, reason="torch has no Muon")
def test_a_muon_step_is_orthogonal_and_of_the_size_of_adamws() -> None:
    torch.manual_seed(0)
    parameter = nn.Parameter(torch.zeros(8, 32))
    parameter.grad = torch.randn(8, 32)
    optimizer("muon", [("w", parameter)], learning_rate=1.0, weight_decay=0.0).step()
    assert float(parameter.detach().square().mean().sqrt()) == pytest.approx(
        0.2, rel=0.2
    )  # that of AdamW, as published
    values = torch.linalg.svdvals(parameter.detach())
    assert float(values.max() / values.min()) < 2  # five iterations bring them within 0.7 and 1.2
    assert float(torch.linalg.svdvals(parameter.grad).max() / torch.linalg.svdvals(parameter.grad).min()) > 2


def test_muon_on_an_old_torch_names_the_version_it_needs(monkeypatch) -> None:
    monkeypatch.delattr(torch.optim, "Muon", raising=False)
    with pytest.raises(ValueError, match=r"needs torch 2\.9 or newer"):
        optimizer("muon")


def test_the_first_adamw_step_is_the_learning_rate_plus_decay() -> None:
    parameter = nn.Parameter(torch.full((2, 2), 3.0))
    parameter.grad = torch.full((2, 2), 5.0)
    optimizer("adamw", [("w", parameter)], learning_rate=0.1, weight_decay=0.01).step()
    torch.testing.assert_close(parameter.data, torch.full((2, 2), 3.0 * (1 - 0.1 * 0.01) - 0.1))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_negative_weight_decay_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"weight_decay is -1\.0, expected 0 or more"):
        optimizer(name, weight_decay=-1.0)
