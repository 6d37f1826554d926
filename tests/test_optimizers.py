"""Optimizers and schedulers: which parameters decay, and which rate each step has."""

import copy
import math

import pytest
import torch
from torch import nn

from emprot_core import registry

HAS_MUON = hasattr(torch.optim, "Muon")
OPTIMIZERS = [
    pytest.param(name, marks=pytest.mark.skipif(name == "muon" and not HAS_MUON, reason="torch has no Muon"))
    for name in ("adam", "adamw", "muon", "nadam", "radam", "sgd")
]
SCHEDULERS = ["constant", "cosine_with_warmup", "linear", "one_cycle", "step", "warmup_stable_decay"]


def optimizer(name: str, named=None, **options) -> torch.optim.Optimizer:
    return registry.get("optimizer", name)(named or [("w", nn.Parameter(torch.ones(2, 2)))], **options)


def rates(name: str, num_steps: int, **options) -> list[float]:
    """The learning rate of each optimizer step."""
    sgd = optimizer("sgd", learning_rate=1.0)
    scheduler = registry.get("scheduler", name)(sgd, num_steps, **options)
    seen = []
    for _ in range(num_steps):
        seen.append(sgd.param_groups[0]["lr"])
        sgd.step()
        scheduler.step()
    return seen


def small_model() -> nn.Module:
    """Matrices, biases, norms and an embedding."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 3), nn.LayerNorm(3))


def train_step(model: nn.Module, steps: torch.optim.Optimizer, ids: list[int]) -> None:
    steps.zero_grad()
    model(torch.tensor(ids)).square().sum().backward()
    steps.step()


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


def flat_adamw(model: nn.Module) -> torch.optim.Optimizer:
    steps = optimizer("adamw", list(model.named_parameters()), weight_decay=0.1)
    steps.flatten()
    return steps


def flat_step(model: nn.Module, steps: torch.optim.Optimizer, ids: list[int]) -> None:
    """A step that zeroes the gradients where they lie, as the trainer does."""
    model(torch.tensor(ids)).square().sum().backward()
    steps.step()
    steps.zero_grad(set_to_none=False)


def test_a_flattened_adamw_steps_as_torchs() -> None:
    weights = []
    for is_flat in (False, True):
        model = small_model().double()
        named = list(model.named_parameters())
        steps = flat_adamw(model) if is_flat else optimizer("adamw", named, weight_decay=0.1)
        for index in range(5):
            steps.param_groups[0]["lr"] = 0.1 / (1 + index)
            (flat_step if is_flat else train_step)(model, steps, [0, 1, index % 5])
        weights.append(list(model.parameters()))
    for plain, flat in zip(*weights, strict=True):
        torch.testing.assert_close(flat, plain, rtol=1e-12, atol=1e-12)


def test_flattening_keeps_the_values_and_groups_and_makes_views() -> None:
    model = small_model()
    before = copy.deepcopy(list(model.parameters()))
    steps = flat_adamw(model)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert [(len(g["params"]), g["weight_decay"]) for g in steps.param_groups] == [(1, 0.1), (1, 0.0)]
    flats = [group["params"][0] for group in steps.param_groups]
    for parameter in model.parameters():
        owner = next(f for f in flats if f.untyped_storage().data_ptr() == parameter.untyped_storage().data_ptr())
        assert parameter.grad.untyped_storage().data_ptr() == owner.grad.untyped_storage().data_ptr()
        assert parameter.data_ptr() % 64 == owner.data_ptr() % 64


@pytest.mark.parametrize("part", ["gradient is gone", "gradient is another", "parameter is another"])
def test_a_flattened_adamw_refuses_what_is_no_view_any_more(part: str) -> None:
    model = small_model()
    steps = flat_adamw(model)
    flat_step(model, steps, [0, 1])
    bias = model[1].bias
    if part == "parameter is another":
        model.double().float()
    else:
        bias.grad = None if part == "gradient is gone" else torch.zeros_like(bias)
    with pytest.raises(RuntimeError, match="was replaced after training began"):
        flat_step(model, steps, [0, 1])


@pytest.mark.parametrize("withheld_at", [0, 2])
def test_a_flattened_adamw_with_found_inf_changes_nothing(withheld_at: int) -> None:
    weights = []
    for is_hit in (False, True):
        model = small_model()
        steps = flat_adamw(model)
        for index in range(4):
            if is_hit and index == withheld_at:
                steps.param_groups[0]["params"][0].grad.fill_(math.nan)
                steps.found_inf = torch.tensor(1.0)
                steps.step()
                steps.zero_grad(set_to_none=False)
            steps.found_inf = torch.tensor(0.0)
            flat_step(model, steps, [0, 1, index])
        weights.append(list(model.parameters()))
    assert all(torch.equal(first, second) for first, second in zip(*weights, strict=True))


def test_a_restored_flattened_adamw_goes_on_to_the_bit(tmp_path) -> None:
    model = small_model()
    first = flat_adamw(model)
    for index in range(3):
        flat_step(model, first, [0, index])
    torch.save({"model": model.state_dict(), "optimizer": first.state_dict()}, tmp_path / "state.pt")
    saved = torch.load(tmp_path / "state.pt", weights_only=True)
    again = small_model()
    again.load_state_dict(saved["model"])
    second = flat_adamw(again)
    second.load_state_dict(saved["optimizer"])
    for index in range(3):
        flat_step(model, first, [1, index])
        flat_step(again, second, [1, index])
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_restored_optimizer_goes_on_to_the_bit(name: str, tmp_path) -> None:
    model = small_model()
    first = optimizer(name, list(model.named_parameters()), weight_decay=0.1)
    for index in range(3):
        train_step(model, first, [0, index])
    torch.save({"model": model.state_dict(), "optimizer": first.state_dict()}, tmp_path / "state.pt")
    saved = torch.load(tmp_path / "state.pt", weights_only=True)
    again = small_model()
    again.load_state_dict(saved["model"])
    second = optimizer(name, list(again.named_parameters()), weight_decay=0.1)
    second.load_state_dict(saved["optimizer"])
    for index in range(3):
        train_step(model, first, [1, index])
        train_step(again, second, [1, index])
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))


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


def test_cosine_warms_up_linearly_and_falls_to_the_floor() -> None:
    seen = rates("cosine_with_warmup", 110, warmup_proportion=10 / 110, min_lr=0.01)
    assert seen[:10] == pytest.approx([(i + 1) / 10 for i in range(10)])
    assert seen[10] == pytest.approx(1.0)
    assert seen[60] == pytest.approx(0.01 + 0.99 * 0.5)
    assert seen[-1] == pytest.approx(0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * 0.99)))


def test_linear_falls_on_a_straight_line() -> None:
    seen = rates("linear", 110, warmup_proportion=10 / 110, min_lr=0.2)
    assert seen[:10] == pytest.approx([(i + 1) / 10 for i in range(10)])
    assert seen[10:] == pytest.approx([1 - 0.8 * i / 100 for i in range(100)])


def test_warmup_stable_decay_holds_and_then_falls_as_a_root() -> None:
    seen = rates("warmup_stable_decay", 100, warmup_proportion=0.1, decay_proportion=0.25, min_lr=0.1)
    assert seen[:10] == pytest.approx([(i + 1) / 10 for i in range(10)])
    assert seen[10:76] == pytest.approx([1.0] * 66)
    assert seen[76:] == pytest.approx([0.1 + 0.9 * (1 - math.sqrt(i / 25)) for i in range(1, 25)])


@pytest.mark.parametrize(
    ("warmup", "decay", "wanted"),
    [(0.0, 0.0, [1.0] * 4), (0.5, 0.5, [0.5, 1.0, 1.0, 1 - math.sqrt(0.5)]), (1.0, 0.0, [0.25, 0.5, 0.75, 1.0])],
)
def test_warmup_stable_decay_may_lack_a_phase(warmup: float, decay: float, wanted: list[float]) -> None:
    assert rates("warmup_stable_decay", 4, warmup_proportion=warmup, decay_proportion=decay) == pytest.approx(wanted)


@pytest.mark.parametrize(("num_steps", "share"), [(100, 0.3), (37, 0.25), (10, 0.9)])
def test_one_cycle_is_that_of_torch(num_steps: int, share: float) -> None:
    sgd = optimizer("sgd", learning_rate=1.0)
    torchs = torch.optim.lr_scheduler.OneCycleLR(
        sgd,
        max_lr=1.0,
        total_steps=num_steps,
        pct_start=share,
        cycle_momentum=False,
        div_factor=10,
        final_div_factor=100,
    )
    wanted = []
    for _ in range(num_steps - 1):
        wanted.append(sgd.param_groups[0]["lr"])
        sgd.step()
        torchs.step()
    wanted.append(sgd.param_groups[0]["lr"])
    seen = rates("one_cycle", num_steps, warmup_proportion=share, div_factor=10.0, final_div_factor=100.0)
    assert seen == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize("name", SCHEDULERS)
@pytest.mark.parametrize("num_steps", [1, 2, 3])
def test_the_shortest_runs_have_finite_rates(name: str, num_steps: int) -> None:
    assert all(0 <= rate <= 1 for rate in rates(name, num_steps))


def test_step_drops_by_its_factor() -> None:
    assert rates("step", 10, drop_every=0.5, factor=0.1) == pytest.approx([1.0] * 5 + [0.1] * 5)


def test_constant_stays() -> None:
    assert rates("constant", 5) == [1.0] * 5


@pytest.mark.parametrize("name", SCHEDULERS)
def test_a_restored_scheduler_has_the_same_rates(name: str) -> None:
    make = registry.get("scheduler", name)
    sgd = optimizer("sgd", learning_rate=1.0)
    first = make(sgd, 20)
    for _ in range(7):
        sgd.step()
        first.step()
    states = copy.deepcopy((sgd.state_dict(), first.state_dict()))
    again = optimizer("sgd", learning_rate=1.0)
    second = make(again, 20)
    again.load_state_dict(states[0])
    second.load_state_dict(states[1])
    for _ in range(13):
        assert again.param_groups[0]["lr"] == sgd.param_groups[0]["lr"]
        for each, scheduler in ((sgd, first), (again, second)):
            each.step()
            scheduler.step()


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("cosine_with_warmup", {"warmup_proportion": 1.5}, "warmup_proportion is 1.5"),
        ("cosine_with_warmup", {"min_lr": 2.0}, "above the learning rate"),
        ("linear", {"warmup_proportion": -0.1}, "warmup_proportion is -0.1"),
        ("one_cycle", {"div_factor": 0.5}, "div_factor is 0.5"),
        ("step", {"drop_every": 0.0}, "drop_every is 0.0"),
        ("warmup_stable_decay", {"decay_proportion": 2.0}, "decay_proportion is 2.0"),
        ("warmup_stable_decay", {"warmup_proportion": 0.6, "decay_proportion": 0.6}, "expected at most 1"),
    ],
)
def test_impossible_schedules_are_refused(name: str, options, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rates(name, 10, **options)
