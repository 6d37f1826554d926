"""Temperatures for each horizon, against a search over many of them."""

import pytest
import torch

from emprot_core.batch import target_mask
from emprot_core.evaluation.forecast import ModelForecast
from emprot_core.evaluation.temperature import fit_temperatures

CPU = torch.device("cpu")
SHARPNESS = torch.tensor([0.5, 1.0, 4.0])  # of the logits, by which the right temperature is known


def calibrated(batch, generator):
    """Logits under which the targets are drawn, and the batch with these targets."""
    logits = torch.randn(*batch["future_cluster_ids"].shape, 11, generator=generator)
    drawn = torch.multinomial(logits.softmax(-1).reshape(-1, 11), 1, generator=generator)
    return logits, {**batch, "future_cluster_ids": drawn.reshape(logits.shape[:-1])}


def test_the_temperature_that_was_put_in_is_found_again(make_batch):
    generator = torch.Generator().manual_seed(0)
    logits, batch = calibrated(make_batch(num_windows=40, num_residues=60), generator)
    sharp = logits * SHARPNESS[:, None, None]
    model = ModelForecast([lambda _: {"cluster_logits": sharp}], CPU)
    found = fit_temperatures(model, [batch], 3)
    assert found == pytest.approx(SHARPNESS.tolist(), rel=0.1)
    for step, temperature in enumerate(found):
        grid = torch.linspace(0.9, 1.1, 41) * temperature
        nll = [_nll(sharp[:, step] / t, batch["future_cluster_ids"][:, step]) for t in grid]
        assert nll.index(min(nll)) == 20


def test_masked_targets_play_no_part(make_batch):
    generator = torch.Generator().manual_seed(0)
    logits, batch = calibrated(make_batch(), generator)
    model = ModelForecast([lambda _: {"cluster_logits": logits}], CPU)
    batch["future_step_mask"][1:] = False
    changed = {**batch, "future_cluster_ids": batch["future_cluster_ids"].clone()}
    changed["future_cluster_ids"][~target_mask(batch)] = 5
    assert fit_temperatures(model, [batch], 3) == fit_temperatures(model, [changed], 3)


def test_an_ensemble_is_the_mean_of_probabilities_and_a_temperature_divides_its_logits(make_batch):
    batch, generator = make_batch(), torch.Generator().manual_seed(0)
    some = [torch.randn(4, 3, 7, 11, generator=generator) for _ in range(3)]
    forwards = [lambda _, own=own: {"cluster_logits": own.clone()} for own in some]
    mean = torch.stack([own.softmax(-1) for own in some]).mean(0)
    forecast = ModelForecast(forwards, CPU)
    for h in (1, 2, 3):
        assert torch.from_numpy(forecast.probabilities(batch, h)).allclose(mean[:, h - 1], atol=1e-6)
    nll = torch.from_numpy(forecast.predict(batch).nll_nats)
    assert nll.allclose(-mean.gather(-1, batch["future_cluster_ids"][..., None])[..., 0].log(), atol=1e-5)
    cooled = ModelForecast(forwards, CPU, [2.0, 1.0, 0.5])
    expected = (mean.log() / torch.tensor([2.0, 1.0, 0.5])[:, None, None]).softmax(-1)
    assert torch.from_numpy(cooled.probabilities(batch, 1)).allclose(expected[:, 0], atol=1e-6)
    assert torch.from_numpy(cooled.probabilities(batch, 3)).allclose(expected[:, 2], atol=1e-6)


def _nll(logits, targets):
    return float(torch.nn.functional.cross_entropy(logits.reshape(-1, 11), targets.reshape(-1)))
