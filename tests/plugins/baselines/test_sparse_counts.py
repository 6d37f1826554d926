"""What the baselines are made of: sparse counts and mixture weights."""

import numpy as np
import pytest
from emprot_plugins.baselines.mixture import em_weights
from emprot_plugins.baselines.tally import CountTable, Tally


def test_em_finds_the_weights_that_made_the_data():
    parts = np.array([[0.9, 0.1, 0.0], [0.0, 0.5, 0.5]])
    drawn = np.repeat(parts, [27, 38, 35], axis=1)  # as .3 of the first part and .7 of the second would give
    np.testing.assert_allclose(em_weights(drawn, steps=500), [0.3, 0.7], atol=1e-6)
    useless = np.array([[1.0, 1.0], [1e-30, 1e-30]])
    assert em_weights(useless, 60).min() > 0  # a weight of 0 would make what only that part allows impossible
    assert em_weights(parts[:, :0], 60).tolist() == [0.5, 0.5]


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


def test_a_table_gives_the_counts_of_its_rows_and_none_where_there_is_no_row():
    rows, ids = np.array([3, 3, 0, 3, -1]), np.array([1, 1, 5, 2, 4])
    table = CountTable(rows, ids, np.array([1, 2, 7, 4, 9]), 6)
    assert table.count(np.array([3, 3, 0, 2, -1]), np.array([1, 5, 5, 0, 4])).tolist() == [3, 0, 7, 0, 0]
    assert table.total(np.array([3, 0, 2, -1])).tolist() == [7, 7, 0, 0]
    query, found, counts = table.entries(np.array([-1, 3, 2]))
    assert (query.tolist(), found.tolist(), counts.tolist()) == ([1, 1], [1, 2], [3, 4])


def test_a_key_that_does_not_fit_is_refused_instead_of_wrapping_around():
    with pytest.raises(ValueError, match="does not fit an int64 key"):
        CountTable(np.array([1 << 50]), np.array([3]), np.array([1]), 50_000)
