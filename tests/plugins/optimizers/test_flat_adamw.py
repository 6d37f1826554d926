"""AdamW over flat tensors: the numbers of torch's, and what it refuses."""

import copy
import math
from unittest.mock import Mock

import pytest
import torch
from optimizing import assert_goes_on_to_the_bit, optimizer, small_model, train_step
from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook


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
    assert_goes_on_to_the_bit(flat_adamw, flat_step, tmp_path / "state.pt")


REGISTER = {
    "before a step of it": lambda steps, hook: steps.register_step_pre_hook(hook),
    "after a step of it": lambda steps, hook: steps.register_step_post_hook(hook),
    "before a step of any": lambda steps, hook: register_optimizer_step_pre_hook(hook),
    "after a step of any": lambda steps, hook: register_optimizer_step_post_hook(hook),
}


@pytest.mark.parametrize("place", REGISTER)
def test_a_flattened_adamw_calls_the_hooks_of_its_steps(place: str) -> None:
    model, called = small_model(), []
    steps = flat_adamw(model)
    handle = REGISTER[place](steps, lambda *_: called.append(place))
    try:
        flat_step(model, steps, [0, 1])
    finally:
        handle.remove()
    assert called == [place]


def test_a_flattened_adamw_that_nobody_observes_goes_without_torchs_wrapper(monkeypatch) -> None:
    model = small_model()
    steps = flat_adamw(model)
    entered = Mock()
    model(torch.tensor([0, 1])).square().sum().backward()
    monkeypatch.setattr(torch.autograd.profiler, "record_function", entered)
    steps.step()
    assert not entered.called


def test_a_flattened_adamw_has_a_name_in_a_profile() -> None:
    model = small_model()
    steps = flat_adamw(model)
    with torch.profiler.profile() as profile:
        flat_step(model, steps, [0, 1])
    assert "Optimizer.step#FlatAdamW.step" in {event.name for event in profile.events()}
