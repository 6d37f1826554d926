"""What the baselines are made of: sparse counts and mixture weights."""

import numpy as np
import pytest
from emprot_plugins.baselines.mixture import em_weights
from emprot_plugins.baselines.tally import CountTable, Tally


def test_em_finds_the_weights_that_made_the_data():
    parts = np.array([[0.9, 0.1, 0.0], [0.0, 0.5, 0.5]])
    counts = 0.3 * parts[0] + 0.7 * parts[1]
    np.testing.assert_allclose(em_weights(parts, counts, steps=500), [0.3, 0.7], atol=1e-6)
    useless = np.array([[1.0, 1.0], [1e-30, 1e-30]])
    assert em_weights(useless, np.ones(2)).min() > 0  # a weight of 0 would make what only that part allows impossible
    assert em_weights(parts[:, :0], counts[:0]).tolist() == [0.5, 0.5]


def test_a_tally_counts_keys_over_many_additions(monkeypatch):
    monkeypatch.setattr("emprot_plugins.baselines.tally._PENDING_KEYS", 50)
    keys = np.random.default_rng(0).integers(0, 30, 1000)
    tally = Tally()
    for part in np.array_split(keys, 37):
        tally.add(part)
    found, counts = tally.result()
    expected = np.bincount(keys, minlength=30)
    assert found.tolist() == np.flatnonzero(expected).tolist()
    assert counts.tolist() == expected[expected > 0].tolist()


def test_the_frontier_keeps_a_winner_for_every_weighting():
    rng = np.random.default_rng(0)
    num_clusters = 40
    rows, ids = rng.integers(0, 5, 300), rng.integers(0, num_clusters, 300)
    preference = rng.integers(0, 8, num_clusters) / 10
    table = CountTable(rows, ids, rng.integers(1, 6, 300), num_clusters)
    frontier = table.frontier(preference)
    for row in range(5):
        all_ids, kept = (each.entries(np.array([row])).ids for each in (table, frontier))
        assert len(kept) < len(all_ids)
        for a, b in rng.random((50, 2)):
            values, best = (a * table.count(np.array(row), i) + b * preference[i] for i in (all_ids, kept))
            assert best.max() == pytest.approx(values.max())


def test_a_key_that_does_not_fit_is_refused_instead_of_wrapping_around():
    with pytest.raises(ValueError, match="does not fit an int64 key"):
        CountTable(np.array([1 << 50]), np.array([3]), np.array([1]), 50_000)
