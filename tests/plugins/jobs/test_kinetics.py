"""Kinetics, against scipy, deeptime, known processes, and figures that were found by other code."""

import warnings

import numpy as np
import pytest
from emprot_plugins.data.synthetic_process import CoupledProcess
from emprot_plugins.jobs import kinetics
from emprot_plugins.jobs.kinetics import chapman_kolmogorov, compare, implied_timescales, independent_draws
from scipy.spatial.distance import jensenshannon
from scipy.stats import ks_2samp

from emprot_core.data.store import TrajectoryStore

RNG = np.random.default_rng(0)
ONE, OTHER = RNG.integers(0, 3, (40, 6)), RNG.integers(0, 4, (40, 6))


def dwells(ids):
    found = []
    for column in ids.T:
        ends = [0, *(np.flatnonzero(np.diff(column)) + 1), len(column)]
        found += np.diff(ends).tolist()
    return found


def test_each_number_is_that_of_scipy_or_a_count_by_hand():
    found = compare(ONE, OTHER, 4)
    shares = [[np.bincount(column, minlength=4) / 40 for column in ids.T] for ids in (ONE, OTHER)]
    expected = np.mean([jensenshannon(p, q, base=2) ** 2 for p, q in zip(*shares, strict=True)])
    assert found["occupancy_jsd_bits"] == pytest.approx(expected)
    assert found["dwell_ks"] == pytest.approx(ks_2samp(dwells(ONE), dwells(OTHER)).statistic)
    rates = [(ids[1:] != ids[:-1]).mean() for ids in (ONE, OTHER)]
    assert found["change_rate_ratio"] == pytest.approx(rates[0] / rates[1])
    counts = np.zeros((2, 4, 4))
    for own, ids in zip(counts, (ONE, OTHER), strict=True):
        for before, after in zip(ids[:-1].ravel(), ids[1:].ravel(), strict=True):
            own[before, after] += 1
    left = counts.sum(2)
    rows = counts / np.maximum(left, 1)[..., None]
    weights = (left[0] / left[0].sum() + left[1] / left[1].sum()) / 2
    assert found["transition_tv"] == pytest.approx((weights * np.abs(rows[0] - rows[1]).sum(1) / 2).sum())
    assert found["agreement"] == pytest.approx((ONE[25:] == ONE[:-25]).mean())


def test_a_piece_against_itself_differs_by_nothing():
    found = compare(ONE, ONE, 4)
    assert (found["occupancy_jsd_bits"], found["dwell_ks"], found["transition_tv"]) == (0, 0, 0)
    assert found["change_rate_ratio"] == 1


def test_residues_with_missing_ids_are_left_out():
    holed = np.column_stack([ONE, np.full(40, -1)])
    assert compare(holed, np.column_stack([OTHER, np.zeros(40, int)]), 4) == compare(ONE, OTHER, 4)
    assert (independent_draws(holed, 9, 4, 0)[:, -1] == -1).all()


@pytest.mark.parametrize(
    ("vocabulary", "clusters", "before", "draws"),
    [
        ("kmeans_environment", 256, (0.217, 0.934, 0.013, 0.242, 0.335), (0.269, 1.20, 0.067, 0.328, 0.353)),
        ("threedi", 20, (0.065, 0.983, 0.010, 0.027, 0.655), (0.084, 1.30, 0.052, 0.088, 0.647)),
    ],
)
def test_the_controls_on_the_receptor_are_those_that_were_measured_before(vocabulary, clusters, before, draws):
    ids = np.array(TrajectoryStore(f"sample:{vocabulary}").ids(2))
    found = list(compare(ids[150:200], ids[200:250], clusters).values())
    assert found[:5] == pytest.approx(before, abs=0.003)
    assert found[5] == pytest.approx(0.364 if clusters == 256 else 0.666, abs=0.001)
    drawn = [compare(independent_draws(ids[:175], 50, clusters, s), ids[200:250], clusters) for s in range(4)]
    assert np.mean([list(each.values())[:5] for each in drawn], axis=0) == pytest.approx(draws, abs=0.02)


def chain(num_frames, seed):
    process = CoupledProcess(1.0, 0.0, 0.0, 24, 16, seed=0)
    rows = process.transitions[:, 0, 0]
    start = np.linalg.matrix_power(rows, 200)[0]
    return kinetics._simulate(rows, start, num_frames, 24, np.random.default_rng(seed)), rows


def with_memory(num_frames):
    process, rng = CoupledProcess(1.0, 1.25, 0.0, 24, 16, seed=0), np.random.default_rng(0)
    ids = rng.integers(0, 16, (num_frames + 50, 24))
    for t in range(2, len(ids)):
        cumulative = process.next_distribution(ids[t - 2], ids[t - 1]).cumsum(axis=-1)
        ids[t] = np.minimum((rng.random(24)[:, None] >= cumulative).sum(axis=-1), 15)
    return ids[50:]


def test_the_timescale_of_a_chain_without_memory_is_found():
    _, rows = chain(2, 0)
    exact = -1 / np.log(np.sort(np.abs(np.linalg.eigvals(rows)))[-2])
    assert exact == pytest.approx(2.382, abs=1e-3)
    short = np.mean([implied_timescales([chain(250, seed)[0]], 1)[0] for seed in range(6)])
    long = np.mean([implied_timescales([chain(2500, seed)[0]], 1)[0] for seed in range(3)])
    assert short == pytest.approx(exact, abs=0.15)
    assert long == pytest.approx(exact, abs=0.08)


def test_timescales_are_those_of_deeptime_on_the_same_columns():
    from deeptime.markov.msm import MaximumLikelihoodMSM

    ids, _ = chain(250, 1)
    columns = [np.ascontiguousarray(column, np.int32) for column in ids.T]
    model = MaximumLikelihoodMSM(reversible=False, lagtime=2).fit_fetch(columns)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deeptime warns of complex eigenvalues
        expected = model.timescales(k=3).tolist()
    assert implied_timescales([ids], 2) == pytest.approx(expected)


def test_chapman_kolmogorov_is_at_its_floor_for_a_first_order_chain_and_above_it_with_memory():
    first = chapman_kolmogorov([chain(500, 0)[0]], num_simulations=5)
    assert abs(first["value"] - first["floor"]) < 4 * first["floor_sd"]
    memory = chapman_kolmogorov([with_memory(500)], num_simulations=5)
    assert memory["value"] > memory["floor"] + 10 * memory["floor_sd"]


def test_few_frames_are_warned_of():
    assert "fewer than 1000" in kinetics.warning_for(250)
    assert kinetics.warning_for(1000) == ""
