"""Intervals against SciPy, against the formula on whole tables, and in simulations whose true gain is known."""

import math

import numpy as np
import pytest
from emprot_plugins.data.synthetic_process import CoupledProcess
from scipy import stats

from emprot_core.evaluation.intervals import Sums, of_sample, over_proteins, t_quantile, two_way


def sums_of(gains: np.ndarray) -> Sums:
    """Of a table (T, N) with NaN where nothing was scored."""
    known = ~np.isnan(gains)
    filled = np.where(known, gains, 0.0)
    return Sums(filled.sum(1), known.sum(1), filled.sum(0), known.sum(0), float((filled**2).sum()))


@pytest.mark.parametrize("degrees", [0.8, 1.0, 2.5, 4.0, 17.3, 60.0, 1e4])
def test_the_quantile_of_t_is_that_of_scipy(degrees: float) -> None:
    assert t_quantile(degrees) == pytest.approx(stats.t.ppf(0.975, degrees), rel=1e-6)


def test_the_interval_is_that_of_the_formula() -> None:
    gains = np.random.default_rng(0).normal(0.1, 1.0, (23, 7)).cumsum(axis=0)
    num_residues = gains.shape[1]
    batches = [batch.mean() for batch in np.array_split(gains.mean(axis=1), 5)]
    v_frames, v_residues = np.var(batches, ddof=1) / 5, np.var(gains.mean(axis=0), ddof=1) / num_residues
    v_tokens = gains.var(ddof=1) / gains.size
    v = max(v_frames, v_residues, v_frames + v_residues - v_tokens)
    nu = v**2 / (v_frames**2 / 4 + v_residues**2 / (num_residues - 1))
    half = stats.t.ppf(0.975, nu) * math.sqrt(v)
    assert two_way(sums_of(gains)) == pytest.approx((gains.mean() - half, gains.mean() + half), rel=1e-6)


def test_missing_tokens_and_frames_are_left_out() -> None:
    gains = np.random.default_rng(1).normal(size=(20, 6))
    padded = np.full((22, 8), np.nan)
    padded[1:21, :6] = gains
    assert two_way(sums_of(padded)) == pytest.approx(two_way(sums_of(gains)))
    padded[3, 2] = np.nan
    assert sums_of(padded).mean == pytest.approx(np.nanmean(padded))


@pytest.mark.parametrize("shape", [(4, 9), (30, 1)])
def test_too_few_frames_or_residues_have_no_interval(shape: tuple[int, int]) -> None:
    assert two_way(sums_of(np.ones(shape))) is None


def test_equal_gains_have_an_interval_of_no_width() -> None:
    assert two_way(sums_of(np.full((9, 5), 0.25))) == (0.25, 0.25)


def test_over_proteins_is_the_interval_of_student() -> None:
    means = np.array([0.1, 0.3, 0.2, 0.25, 0.05, 0.4])
    wanted = stats.t.interval(0.95, 5, means.mean(), stats.sem(means))
    assert over_proteins(means) == pytest.approx(wanted)


@pytest.mark.slow
@pytest.mark.parametrize("num_frames", [50, 250])
def test_the_interval_holds_the_true_gain_in_200_simulated_test_sets(num_frames: int, record_property) -> None:
    """The gain of the exact conditional over the table of pairs P(y | last) on the process of data.Synthetic."""
    num_sets, burn_in = 200, 40
    process = CoupledProcess(1.0, 1.25, 1.25, num_residues=60, num_clusters=16, seed=0)
    uniforms = np.random.default_rng(0).random((num_sets + 64, burn_in + num_frames, 60))
    frames = process.run(uniforms)[:, burn_in:]
    pairs = np.ones((16, 16))
    np.add.at(pairs, (frames[num_sets:, :-1], frames[num_sets:, 1:]), 1)
    table = pairs / pairs.sum(axis=1, keepdims=True)
    gains = np.stack([gains_of(process, table, trajectory) for trajectory in frames])
    truth = gains.mean()
    ends = np.array([two_way(sums_of(each)) for each in gains[:num_sets]])
    coverage = ((ends[:, 0] <= truth) & (truth <= ends[:, 1])).mean()
    width = np.median(ends[:, 1] - ends[:, 0])
    record_property("coverage", coverage)
    record_property("median_width_bits", width)
    print(f"{num_frames} frames: coverage {coverage:.3f}, median width {width:.3f} bits, gain {truth:.3f} bits")
    assert coverage >= 0.92
    assert width < 0.5 * truth


def gains_of(process: CoupledProcess, table: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """(T - 2, N) in bits, of one trajectory (T, N)."""
    exact = process.next_distribution(frames[:-2], frames[1:-1])
    ours = np.take_along_axis(exact, frames[2:, :, None], axis=2)[..., 0]
    return np.log2(ours / table[frames[1:-1], frames[2:]])


def test_the_interval_of_a_sample_holds_the_score_of_all_windows() -> None:
    """Windows drawn at random from 600 of unlike sizes: in about 95 of 100 cases, and exactly if all are drawn."""
    generator = np.random.default_rng(0)
    counts = generator.integers(1, 40, 600)
    sums = counts * generator.gamma(2.0, 1.0, 600)
    mean = sums.sum() / counts.sum()
    held = 0
    for _ in range(400):
        drawn = generator.permutation(600)[:60]
        low, high = of_sample(sums[drawn], counts[drawn], 600)
        held += low <= mean <= high
    assert 0.91 < held / 400 < 0.98
    assert of_sample(sums, counts, 600) == pytest.approx((mean, mean))
    assert of_sample(sums[:1], counts[:1], 600) is None
    assert of_sample(sums[:5], np.zeros(5), 600) is None
