"""The fitted state of baselines, through a file, and how they recognise a protein in other data."""

import numpy as np
import pytest
import torch

from emprot_core import registry
from emprot_core.contracts import SavedBaseline

POINT_FORECASTS = ["persistence", "windowed_mode"]
WITH_DISTRIBUTION = [
    "occupancy", "markov", "interpolated", "interpolated_residue", "history", "history_site", "history_alike",
]  # fmt: skip
CLUSTERS, HORIZON = 11, 3


def fitted(name, train, validation=()):
    baseline = registry.get("baseline", name)()
    baseline.fit(train, validation, CLUSTERS)
    return baseline


@pytest.mark.parametrize("name", POINT_FORECASTS + WITH_DISTRIBUTION)
def test_a_state_from_a_file_forecasts_the_same_bits(name, make_ragged_batch, tmp_path):
    saved = fitted(name, [make_ragged_batch(seed) for seed in range(6)], [make_ragged_batch(7)])
    np.savez(tmp_path / "state.npz", **saved.state_dict())
    loaded = registry.get("baseline", name)()
    assert isinstance(loaded, SavedBaseline)
    with np.load(tmp_path / "state.npz", allow_pickle=False) as state:
        loaded.load_state_dict(state)
    batch = make_ragged_batch(9)
    for before, after in zip(saved.predict(batch), loaded.predict(batch), strict=True):
        np.testing.assert_array_equal(before, after)
    if name in WITH_DISTRIBUTION:
        for h in range(1, HORIZON + 1):
            np.testing.assert_array_equal(saved.probabilities(batch, h), loaded.probabilities(batch, h))
    assert_equal_states(saved.state_dict(), loaded.state_dict())


def assert_equal_states(first, second):
    assert first.keys() == second.keys()
    for name, values in first.items():
        assert values.dtype.kind in "if"
        np.testing.assert_array_equal(values, second[name])


@pytest.mark.parametrize("name", ["occupancy", "interpolated_residue"])
def test_a_protein_is_recognised_by_its_hash_wherever_it_stands(name, make_ragged_batch):
    baseline = fitted(name, [make_ragged_batch(seed) for seed in range(6)])
    batch = make_ragged_batch(9)
    order = [3, 1, 0, 2]
    shuffled = {key: values[order] for key, values in batch.items()}
    p = baseline.probabilities(batch, 1)
    np.testing.assert_array_equal(baseline.probabilities(shuffled, 1), p[order])
    assert len(baseline.state_dict()["groups"]) == 3
    other = baseline.probabilities({**batch, "group_ids": batch["group_ids"].roll(1)}, 1)
    assert not np.allclose(other, p)


def test_occupancy_of_a_protein_never_seen_is_the_same_for_every_residue(make_ragged_batch):
    baseline = fitted("occupancy", [make_ragged_batch(seed) for seed in range(6)])
    batch = {**make_ragged_batch(9), "group_ids": torch.tensor([0, 1, (1 << 63) - 2, 6])}
    p = baseline.probabilities(batch, 1).reshape(-1, CLUSTERS)
    np.testing.assert_allclose(p, np.broadcast_to(p[0], p.shape), rtol=1e-12)
    known = baseline.probabilities(make_ragged_batch(9), 1)[0, 0]
    assert not np.allclose(known, p[0])


def test_interpolated_residue_of_a_protein_never_seen_backs_off_to_what_residues_have_in_common(make_ragged_batch):
    """Then two residues with the same history have the same forecast."""
    baseline = fitted("interpolated_residue", [make_ragged_batch(seed) for seed in range(6)])  # the weights are equal
    batch = make_ragged_batch(9)
    for key in ("input_cluster_ids", "history_mask"):
        batch[key] = batch[key][:1, :, :1].expand(4, -1, 7)
    batch["residue_mask"] = torch.ones(4, 7, dtype=torch.bool)
    known = baseline.probabilities(batch, 1)
    assert not np.allclose(known[0, 0], known[0, 1])
    p = baseline.probabilities({**batch, "group_ids": torch.arange(100, 104)}, 1).reshape(-1, CLUSTERS)
    np.testing.assert_allclose(p, np.broadcast_to(p[0], p.shape), rtol=1e-12)


@pytest.mark.parametrize("name", WITH_DISTRIBUTION)
def test_a_second_fit_forgets_the_first(name, make_ragged_batch):
    train = [make_ragged_batch(seed) for seed in range(3)]
    baseline = fitted(name, [make_ragged_batch(5)], [make_ragged_batch(6)])
    baseline.fit(train, [make_ragged_batch(7)], CLUSTERS)
    assert_equal_states(baseline.state_dict(), fitted(name, train, [make_ragged_batch(7)]).state_dict())
