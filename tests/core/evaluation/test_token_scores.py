"""What intervals are made of: sums by frame, by residue and of squares, against whole tables."""

from types import SimpleNamespace

import numpy as np
import pytest

from emprot_core.batch import target_mask
from emprot_core.contracts import TrajectoryFrames
from emprot_core.evaluation.token_scores import SCORE_VERSION, TokenScores

GROUPS = (5, 9)


@pytest.fixture
def collected(make_batch):
    """Scores of six windows of two proteins in three batches, and the whole tables (windows, F, N) of gains."""
    import torch

    tokens, whole, rng = TokenScores("model"), {}, np.random.default_rng(0)
    for start in (4, 0, 2):
        batch = make_batch(seed=start, num_windows=2, missing=True)
        batch["window_ids"] = torch.arange(start, start + 2)
        batch["group_ids"] = torch.tensor([GROUPS[start % 4 // 2]] * 2)
        mask = target_mask(batch).numpy()
        bits = {name: rng.random(mask.shape) * 3 for name in ("model", "markov")}
        tokens.add(batch, mask, bits)
        gain = np.where(mask, bits["markov"] - bits["model"], np.nan)
        whole |= {start + row: (int(batch["group_ids"][row]), gain[row], bits["model"][row]) for row in range(2)}
    tokens.merge()
    return tokens, whole


def table_of(whole, group: int) -> np.ndarray:
    """(windows, F, N) the gains of a protein in the order of its windows."""
    return np.stack([gain for _, (own, gain, _) in sorted(whole.items()) if own == group])


@pytest.mark.parametrize("group", GROUPS)
def test_the_sums_of_a_gain_are_those_of_the_whole_table(collected, group: int) -> None:
    tokens, whole = collected
    table = table_of(whole, group)
    for horizon, sums in enumerate(tokens.gains("markov", group)):
        gains = table[:, horizon]
        np.testing.assert_allclose(sums[0], np.nansum(gains, axis=1))
        np.testing.assert_array_equal(sums[1], (~np.isnan(gains)).sum(axis=1))
        np.testing.assert_allclose(sums[2], np.nansum(gains, axis=0))
        np.testing.assert_array_equal(sums[3], (~np.isnan(gains)).sum(axis=0))
        assert sums.of_squares == pytest.approx(np.nansum(gains**2))


def test_the_mean_gain_of_each_protein_is_that_of_its_table(collected) -> None:
    tokens, whole = collected
    assert tokens.groups_found.tolist() == sorted(GROUPS)
    expected = [np.nanmean(table_of(whole, group), axis=(0, 2)) for group in GROUPS]
    np.testing.assert_allclose(tokens.mean_gains("markov"), expected)


def test_a_protein_without_a_target_at_a_horizon_has_no_mean_there(make_batch) -> None:
    batch = make_batch(num_windows=1)
    batch["future_step_mask"][:, 1] = False
    tokens = TokenScores("model")
    mask = target_mask(batch).numpy()
    mask[:, 2, 1:] = False  # one target
    tokens.add(batch, mask, {"model": np.zeros(mask.shape), "markov": np.full(mask.shape, 0.5)})
    tokens.merge()
    np.testing.assert_array_equal(tokens.mean_gains("markov"), [[0.5, np.nan, 0.5]])


def test_what_is_kept_of_a_split_has_every_token_in_its_place(collected) -> None:
    tokens, whole = collected
    contents = [TrajectoryFrames("a", "first", 6), TrajectoryFrames("b", "second", 6)]
    last_frames = np.array([4, 5, 9, 10, 6, 7])
    data = SimpleNamespace(
        split_contents=lambda split: contents,
        places=lambda split, windows: (windows % 4 // 2, last_frames[windows]),
    )
    arrays = tokens.arrays(data, "test")
    assert int(arrays["score_version"]) == SCORE_VERSION
    assert str(arrays["windows_digest"]) == tokens.digest(data, "test")
    assert arrays["groups"].tolist() == ["first", "second"]
    assert arrays["trajectories"].tolist() == ["a", "b"]
    assert bool(arrays["whole"])
    place = arrays["forecasters"].tolist().index("model")
    for window, (_, gain, bits) in whole.items():
        trajectory = window % 4 // 2
        for step in range(gain.shape[0]):
            frame = last_frames[window] + 1 + step
            at = arrays[f"frames_{trajectory}"].tolist().index(frame)
            kept = arrays[f"nll_bits_{trajectory}"][place, at, :, step]
            np.testing.assert_allclose(kept, np.where(np.isnan(gain[step]), np.nan, bits[step]), rtol=1e-6)


def test_without_every_token_the_sums_by_frame_and_residue_are_kept(make_batch) -> None:
    batch = make_batch(num_windows=1)
    tokens = TokenScores("model", max_numbers=0)
    mask = target_mask(batch).numpy()
    bits = np.random.default_rng(0).random(mask.shape)
    tokens.add(batch, mask, {"model": bits})
    tokens.merge()
    data = SimpleNamespace(
        split_contents=lambda split: [TrajectoryFrames("a", "first", 3)],
        places=lambda split, windows: (np.zeros(1, int), np.array([4])),
    )
    arrays = tokens.arrays(data, "test")
    assert not arrays["whole"]
    assert arrays["frames_0"].tolist() == [5, 6, 7]
    np.testing.assert_allclose(arrays["frame_sums_0"][0].diagonal(), bits[0].sum(axis=1))
    np.testing.assert_array_equal(arrays["frame_counts_0"].diagonal(), mask[0].sum(axis=1))
