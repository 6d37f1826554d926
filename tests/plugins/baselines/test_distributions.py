"""The probability of every class that baselines give, beside their predictions."""

import numpy as np
import pytest
import torch

from emprot_core import registry
from emprot_core.batch import target_mask
from emprot_core.contracts import GivesProbabilities
from emprot_core.errors import EmprotError

WITHOUT = ["persistence", "windowed_mode"]
WITH_DISTRIBUTION = [
    "occupancy", "markov", "interpolated", "interpolated_residue", "history", "history_site", "history_alike",
]  # fmt: skip
CLUSTERS, HORIZON = 11, 3


def fitted(name, make_ragged_batch):
    baseline = registry.get("baseline", name)()
    baseline.fit([make_ragged_batch(seed) for seed in range(6)], [make_ragged_batch(7)], CLUSTERS)
    return baseline


@pytest.mark.parametrize("name", WITH_DISTRIBUTION)
def test_probabilities_are_those_of_predict(name, make_ragged_batch):
    """Of every class as the target, where a target counts."""
    baseline, batch = fitted(name, make_ragged_batch), make_ragged_batch(9)
    mask = target_mask(batch).numpy()
    p = np.stack([baseline.probabilities(batch, h) for h in range(1, HORIZON + 1)], axis=1)
    assert p.shape == (4, HORIZON, 7, CLUSTERS)
    predicted = baseline.predict(batch).predicted
    best = np.take_along_axis(p, predicted[..., None], axis=-1)[..., 0]
    np.testing.assert_allclose(best[mask], p.max(axis=-1)[mask], rtol=1e-12)
    for cluster in range(CLUSTERS):
        batch["future_cluster_ids"] = torch.where(torch.from_numpy(mask), cluster, -1)
        nll = baseline.predict(batch).nll_nats
        np.testing.assert_allclose(nll[mask], -np.log(p[..., cluster][mask]), rtol=1e-6)


@pytest.mark.parametrize("name", WITH_DISTRIBUTION)
def test_rows_of_probabilities_sum_to_one_everywhere(name, make_ragged_batch):
    p = fitted(name, make_ragged_batch).probabilities(make_ragged_batch(9), 2)
    np.testing.assert_allclose(p.sum(axis=-1), 1.0, atol=1e-6)
    assert p.min() > 0


@pytest.mark.parametrize("name", WITH_DISTRIBUTION)
def test_targets_play_no_part_in_probabilities(name, make_ragged_batch):
    baseline, batch = fitted(name, make_ragged_batch), make_ragged_batch(9)
    before = baseline.probabilities(batch, 1)
    batch["future_cluster_ids"] = torch.full_like(batch["future_cluster_ids"], -1)
    batch["future_step_mask"] = torch.zeros_like(batch["future_step_mask"])
    np.testing.assert_array_equal(baseline.probabilities(batch, 1), before)


@pytest.mark.parametrize("name", WITH_DISTRIBUTION)
def test_probabilities_do_not_depend_on_how_many_positions_a_block_has(name, make_ragged_batch, monkeypatch):
    baseline, batch = fitted(name, make_ragged_batch), make_ragged_batch(9)
    whole, predicted = baseline.probabilities(batch, 1), baseline.predict(batch).predicted
    monkeypatch.setattr("emprot_plugins.baselines.mixture._TABLE_VALUES", 9 * CLUSTERS)
    np.testing.assert_allclose(baseline.probabilities(batch, 1), whole, rtol=1e-6)
    np.testing.assert_array_equal(baseline.predict(batch).predicted, predicted)


@pytest.mark.parametrize("name", ["history", "history_site", "history_alike"])
def test_a_residue_known_only_long_ago_has_the_same_distribution_in_both_ways(name, make_ragged_batch):
    """The fastest cache forgets 200 frames to less than float32 can hold."""
    baseline, batch = fitted(name, make_ragged_batch), make_ragged_batch(9, history=220)
    batch["history_mask"][:, 15:] = False
    p, nll = baseline.probabilities(batch, 1), baseline.predict(batch).nll_nats[:, 0]
    target = batch["future_cluster_ids"][:, 0].numpy()
    expected = -np.log(np.take_along_axis(p, np.maximum(target, 0)[..., None], axis=-1)[..., 0])
    mask = target_mask(batch)[:, 0].numpy()
    np.testing.assert_allclose(nll[mask], expected[mask], rtol=1e-5)


@pytest.mark.parametrize("horizon", [0, HORIZON + 1])
def test_a_horizon_that_was_not_fitted_is_refused(horizon, make_ragged_batch):
    baseline = fitted("markov", make_ragged_batch)
    with pytest.raises(EmprotError, match=f"no forecast at horizon {horizon}, expected 1 to 3"):
        baseline.probabilities(make_ragged_batch(9), horizon)


def test_the_protocol_tells_which_baselines_have_a_distribution():
    for name in WITHOUT + WITH_DISTRIBUTION:
        assert isinstance(registry.get("baseline", name)(), GivesProbabilities) == (name in WITH_DISTRIBUTION)
