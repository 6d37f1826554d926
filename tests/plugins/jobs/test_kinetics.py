"""Kinetics, against scipy, deeptime, known processes, and figures that were found by other code."""

import warnings

import numpy as np
import pytest
from emprot_plugins.data.synthetic_process import CoupledProcess
from emprot_plugins.jobs import kinetics, markov_chain
from emprot_plugins.jobs.kinetics import compare, independent_draws
from emprot_plugins.jobs.markov_chain import chapman_kolmogorov, implied_timescales
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
    found = compare(ONE, OTHER)
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
    weights = (left[0] / left[0].sum() + left[1] / left[1].sum()) * (left > 0).all(0)
    distances = np.abs(rows[0] - rows[1]).sum(1) / 2
    assert found["transition_tv"] == pytest.approx((weights * distances).sum() / weights.sum())
    assert found["agreement"] == pytest.approx((ONE[25:] == ONE[:-25]).mean())
    assert found["mean_dwell_frames"] == pytest.approx(np.mean(dwells(ONE)))
    assert found["mean_dwell_frames_reference"] == pytest.approx(np.mean(dwells(OTHER)))


def test_a_piece_against_itself_differs_by_nothing():
    found = compare(ONE, ONE)
    assert (found["occupancy_jsd_bits"], found["dwell_ks"], found["transition_tv"]) == (0, 0, 0)
    assert found["change_rate_ratio"] == 1


def test_residues_that_only_one_piece_knows_are_left_out():
    holed = np.column_stack([ONE, np.full(40, -1)])
    assert compare(holed, np.column_stack([OTHER, np.zeros(40, int)])) == compare(ONE, OTHER)
    assert (independent_draws(holed, 9, 0)[:, -1] == -1).all()


def test_a_missing_id_counts_nowhere():
    piece = np.array([[0, 0, -1, 1, 1, 1]]).T
    reference = np.array([[0, 0, 0, 1, 1, 0]]).T
    found = compare(piece, reference)
    assert found["change_rate_ratio"] == 0
    assert found["mean_dwell_frames"] == 2.5  # 0 0 and 1 1 1
    assert found["transition_tv"] == pytest.approx(tv_by_hand())
    assert found["occupancy_jsd_bits"] == pytest.approx(jensenshannon([2, 3], [4, 2], base=2) ** 2)


def tv_by_hand():
    """Rows 0: (1, 0) and (2/3, 1/3); rows 1: (0, 1) and (1/2, 1/2). Left: 1, 2 of 3, and 3, 2 of 5."""
    weights = np.array([1 / 3 + 3 / 5, 2 / 3 + 2 / 5])
    return float(weights @ [1 / 3, 1 / 2] / weights.sum())


def test_what_nothing_is_known_of_is_none_and_no_error():
    missing, still = np.full((40, 6), -1), np.zeros((40, 6), int)
    assert set(compare(missing, ONE).values()) == {None}
    assert compare(ONE, still)["change_rate_ratio"] is None
    assert compare(ONE[:1], OTHER[:1])["transition_tv"] is None
    assert implied_timescales([missing], 1) is None
    assert chapman_kolmogorov([ONE[:5]]) is None  # no pair is five frames apart
    assert implied_timescales([still], 1) == []


def test_classes_without_number_take_no_memory():
    ids = np.random.default_rng(0).integers(0, 10**9, (30, 4))
    assert compare(ids, ids)["transition_tv"] == 0
    ring = np.tile(np.arange(2, dtype=np.int64)[:, None] * 10**9, (20, 3))
    assert implied_timescales([ring], 1)[0] > 1e6  # it never forgets where it is
    many = np.tile(np.arange(1500), 3)[:, None]
    assert implied_timescales([many], 1) is None  # 1,500 classes lead to each other: too many for a chain


@pytest.mark.parametrize(
    ("vocabulary", "real", "before", "draws"),
    [
        ("kmeans_environment", 0.364, (0.217, 0.934, 0.013, 0.242, 0.335), (0.269, 1.20, 0.067, 0.328, 0.353)),
        ("threedi", 0.666, (0.065, 0.983, 0.010, 0.027, 0.655), (0.084, 1.30, 0.052, 0.088, 0.647)),
    ],
)
def test_the_controls_on_the_receptor_are_those_that_were_measured_before(vocabulary, real, before, draws):
    ids = np.array(TrajectoryStore(f"sample:{vocabulary}").ids(2))
    found = list(compare(ids[150:200], ids[200:250]).values())
    assert found[:6] == pytest.approx([*before, real], abs=0.0005)  # rounded
    drawn = [compare(independent_draws(ids[:175], 50, seed), ids[200:250]) for seed in range(8)]
    means = np.mean([list(each.values())[:5] for each in drawn], axis=0)
    uncertain = (0.002, 0.015, 0.004, 0.004, 0.006)  # of one draw it is at most .002, .011, .003, .004, .005
    assert (np.abs(means - draws) < uncertain).all()


def process(num_frames, seed, memory=0.0):
    """(frames, 24) of the synthetic process with 16 classes, stationary."""
    uniforms = np.random.default_rng(seed).random((1, num_frames + 40, 24))
    return CoupledProcess(1.0, memory, 0.0, 24, 16, seed=0).run(uniforms)[0, 40:]


def test_the_timescale_of_a_process_without_memory_is_found():
    rows = CoupledProcess(1.0, 0.0, 0.0, 24, 16, seed=0).transitions[:, 0, 0]
    exact = -1 / np.log(np.sort(np.abs(np.linalg.eigvals(rows)))[-2])
    assert exact == pytest.approx(2.382, abs=1e-3)
    short = [implied_timescales([process(250, seed)], 1)[0] for seed in range(20)]
    assert np.mean(short) == pytest.approx(exact, abs=0.15)
    assert np.std(short) < 0.2  # one data set of 250 frames misses .15 in three of ten cases
    assert [implied_timescales([process(2500, seed)], 1)[0] for seed in range(3)] == pytest.approx(
        [exact] * 3, abs=0.08
    )


def test_timescales_are_those_of_deeptime_on_the_same_columns():
    from deeptime.markov.msm import MaximumLikelihoodMSM

    ids = process(250, 1)
    columns = [np.ascontiguousarray(column, np.int32) for column in ids.T]
    model = MaximumLikelihoodMSM(reversible=False, lagtime=2).fit_fetch(columns)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deeptime warns of complex eigenvalues
        expected = model.timescales(k=3).tolist()
    assert implied_timescales([ids], 2) == pytest.approx(expected)


def test_chapman_kolmogorov_is_at_its_floor_for_a_first_order_chain_and_above_it_with_memory():
    first = chapman_kolmogorov([process(500, 0)], num_simulations=5)
    assert abs(first["value"] - first["floor"]) < 4 * first["floor_sd"]
    memory = chapman_kolmogorov([process(500, 0, memory=1.25)], num_simulations=5)
    assert memory["value"] > memory["floor"] + 10 * memory["floor_sd"]


def test_unlike_residues_lift_chapman_kolmogorov_without_any_memory():
    halves = np.random.default_rng(0).integers(0, 2, (500, 24)) + np.arange(24) % 2  # classes 0 1, and 1 2
    found = chapman_kolmogorov([halves], num_simulations=5)
    assert found["value"] > found["floor"] + 10 * found["floor_sd"]


def test_the_floor_has_the_shape_of_the_data_with_what_is_missing(monkeypatch):
    shapes = []
    real = markov_chain._chapman_kolmogorov

    def noted(pieces, steps):
        shapes.append([(piece < 0).tolist() for piece in pieces])
        return real(pieces, steps)

    monkeypatch.setattr(markov_chain, "_chapman_kolmogorov", noted)
    ids = process(60, 0)
    ids[:, 3], ids[20:25, 5] = -1, -1
    chapman_kolmogorov([ids, ids[:30]], num_simulations=2)
    assert shapes[0] == shapes[1] == shapes[2]


def test_few_frames_are_warned_of():
    assert "fewer than 1000" in kinetics.warning_for(250)
    assert kinetics.warning_for(1000) == ""
