"""The difference between two models, against the same formula written once more over single tokens."""

import numpy as np
import pytest
from scipy import stats

from emprot_core.evaluation.comparison import difference, read_model_scores

HORIZON = 2


def write_scores(path, model, groups=("G",), whole=True, digest="d"):
    """scores-test.npz of a model with NLL (T, N, F) on each trajectory, one a group, and of a baseline."""
    arrays = {"score_version": 1, "whole": whole, "windows_digest": digest, "forecasters": ["bar", "model"]}
    arrays |= {"trajectories": [f"t{g}" for g in groups], "groups": list(groups)}
    for i, values in enumerate(model):
        both = np.stack([values + 1, values]).astype(np.float32)
        arrays[f"frames_{i}"] = np.arange(len(values))
        if whole:
            arrays[f"nll_bits_{i}"] = both
        else:
            arrays |= {f"frame_sums_{i}": np.nansum(both, 2), f"frame_counts_{i}": (~np.isnan(values)).sum(1)}
            arrays |= {f"residue_sums_{i}": np.nansum(both, 1), f"residue_counts_{i}": (~np.isnan(values)).sum(0)}
    np.savez(path, **{name: np.array(value) for name, value in arrays.items()})
    return read_model_scores(path)


def made(tmp_path, gains, seeds=1, proteins=1, whole=True, noise=0.3):
    """Scores of a reference and of another that is better by `gains` of each seed, with noise by frame and residue."""
    rng = np.random.default_rng(0)
    shapes = [(40 + 3 * p, 12 + p, HORIZON) for p in range(proteins)]
    shared = [rng.normal(3, 1, shape) for shape in shapes]
    hidden = [rng.random(shape) < 0.1 for shape in shapes]
    sides = ([], [])
    for seed in range(seeds):
        for side, gain in zip(sides, (0.0, gains[seed]), strict=True):
            own = []
            for base, lost in zip(shared, hidden, strict=True):
                frames, residues = rng.normal(0, noise, (len(base), 1, 1)), rng.normal(0, noise, (1, base.shape[1], 1))
                own.append(np.where(lost, np.nan, base - gain + frames + residues))
            names = [f"G{p}" for p in range(proteins)]
            side.append(write_scores(tmp_path / f"{len(side)}-{gain}.npz", own, names, whole))
    return sides


def slow_interval(one, other, h):
    """The two-way interval of the difference at a horizon, over means of seeds; one, other: lists of (T, N, F)."""
    means = [np.mean(side, axis=0)[..., h] for side in (one, other)]
    gain = means[0] - means[1]
    frames, residues = np.nanmean(gain, 1), np.nanmean(gain, 0)
    batches = [batch.mean() for batch in np.array_split(frames, 5)]
    v_frames, v_residues = np.var(batches, ddof=1) / 5, np.var(residues, ddof=1) / len(residues)
    count = np.isfinite(gain).sum()
    v_tokens = np.nanvar(gain, ddof=1) / count
    v = max(v_frames, v_residues, v_frames + v_residues - v_tokens)
    below = v_frames**2 / 4 + v_residues**2 / (len(residues) - 1)
    if len(one) > 1:
        by_seed = [np.nanmean(a[..., h]) - np.nanmean(b[..., h]) for a, b in zip(one, other, strict=True)]
        v_seeds = np.var(by_seed, ddof=1) / len(by_seed)
        v, below = v + v_seeds, below + v_seeds**2 / (len(by_seed) - 1)
    half = stats.t.ppf(0.975, v**2 / below) * np.sqrt(v)
    return np.nanmean(gain) - half, np.nanmean(gain) + half


@pytest.mark.parametrize("seeds", [1, 3])
def test_the_interval_is_the_two_way_one_with_the_variance_between_seeds(tmp_path, seeds):
    sides = made(tmp_path, [0.5, 0.6, 0.4], seeds)
    found = difference(*sides, is_paired=True)
    tokens = [[scores.proteins["G0"].tokens[0] for scores in side] for side in sides]
    for h in range(HORIZON):
        low, high = slow_interval(*tokens, h)
        assert (found["low"][h], found["high"][h]) == pytest.approx((low, high), rel=1e-4)
        assert found["low"][h] < found["bits"][h] < found["high"][h]
    assert "proteins" not in found


def test_a_model_against_itself_differs_by_nothing(tmp_path):
    (one,), _ = made(tmp_path, [0.5])
    found = difference([one], [one], is_paired=True)
    assert (found["bits"], found["low"], found["high"]) == ([0.0] * 2, [0.0] * 2, [0.0] * 2)
    assert (found["verdict"], found["verdict_by_horizon"]) == ("undecided", ["undecided"] * 2)


def test_a_large_gain_is_better_and_its_opposite_worse(tmp_path):
    one, other = made(tmp_path, [2.0])
    assert difference(one, other, is_paired=True)["verdict"] == "better"
    assert difference(other, one, is_paired=True)["verdict_by_horizon"] == ["worse"] * 2


def test_seeds_that_do_not_pair_widen_the_interval(tmp_path):
    one, other = made(tmp_path, [0.5, 0.6, 0.4], seeds=3)
    paired, loose = (difference(one, other, is_paired=is_paired) for is_paired in (True, False))
    assert paired["bits"] == loose["bits"]
    assert all(low != other for low, other in zip(paired["low"], loose["low"], strict=True))
    fewer = difference(one[:2], other, is_paired=False)
    assert all(low < bits < high for low, bits, high in zip(fewer["low"], fewer["bits"], fewer["high"], strict=True))


def test_two_to_five_proteins_have_intervals_of_their_own_and_more_a_common_one(tmp_path):
    few = difference(*made(tmp_path, [0.5], proteins=2), is_paired=True)
    assert few["low"] == [None] * 2
    assert set(few["proteins"]) == {"G0", "G1"}
    assert few["proteins"]["G1"]["low"][0] < few["proteins"]["G1"]["bits"][0]
    sides = made(tmp_path, [0.5], proteins=7)
    many = difference(*sides, is_paired=True)
    means = [
        np.nanmean(sides[0][0].proteins[f"G{p}"].tokens[0] - sides[1][0].proteins[f"G{p}"].tokens[0], axis=(0, 1))
        for p in range(7)
    ]
    assert many["bits"] == pytest.approx(np.mean(means, axis=0), rel=1e-6)
    half = stats.t.ppf(0.975, 6) * np.std(means, axis=0, ddof=1) / np.sqrt(7)
    assert many["high"] == pytest.approx(np.mean(means, axis=0) + half, rel=1e-4)


def test_sums_without_tokens_give_the_same_gain_and_an_interval_no_narrower(tmp_path):
    whole = difference(*made(tmp_path, [0.5]), is_paired=True)
    sums = difference(*made(tmp_path, [0.5], whole=False), is_paired=True)
    assert sums["bits"] == pytest.approx(whole["bits"], rel=1e-5)
    widths = [[high - low for low, high in zip(each["low"], each["high"], strict=True)] for each in (whole, sums)]
    assert all(wider >= width * 0.9999 for width, wider in zip(*widths, strict=True))
