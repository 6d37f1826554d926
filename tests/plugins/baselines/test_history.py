"""The mixtures over a residue's whole past, against a slow twin and against figures found independently."""

import numpy as np
import pytest
import torch
from baseline_scores import fitted_scores
from emprot_plugins.baselines.alike import Alike, pairs_of_classes
from emprot_plugins.baselines.history import History, HistoryAlike, HistorySite
from emprot_plugins.baselines.interpolated import Interpolated
from emprot_plugins.baselines.interpolated_residue import InterpolatedResidue
from emprot_plugins.baselines.parts import Unigram
from emprot_plugins.baselines.positions import count_keys, counted_positions
from emprot_plugins.baselines.sites import Sites
from emprot_plugins.baselines.tally import CountTable
from emprot_plugins.baselines.windowed_mode import WindowedMode
from emprot_plugins.data.trajectory_windows import TrajectoryWindows
from emprot_plugins.splits.by_time import ByTime

RATES = (0.5, 0.75, 0.88, 0.95, 0.985, 1.0)


def sample(vocabulary: str, past: int = 200, shuffle_frames: int | None = None) -> TrajectoryWindows:
    split = ByTime(0.7, 0.1, 0.2)
    return TrajectoryWindows(
        f"sample:{vocabulary}", 10, 4, split, past, trajectories=["prolif*"], eval_batch_size=16,
        shuffle_frames=shuffle_frames,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("vocabulary", "history", "history_site", "history_alike"),
    [
        ("threedi", (0.925, 0.990), (0.915, 0.981), (0.917, 0.983)),
        ("kmeans_environment", (2.451, 2.658), (2.428, 2.638), (2.422, 2.626)),
        ("protein_blocks", (0.266, 0.352), (0.257, 0.346), (0.258, 0.346)),
    ],
)
def test_the_bar_has_its_known_bits(vocabulary: str, history, history_site, history_alike) -> None:
    scores = fitted_scores([History(), HistorySite(), HistoryAlike()], sample(vocabulary), 4)
    figures = (
        ("history", history, 0.005),
        ("history_site", history_site, 0.01),
        ("history_alike", history_alike, 0.002),
    )
    for name, known, tolerance in figures:
        bits = scores[name]["nll_bits"]
        assert (bits[0], bits[3]) == pytest.approx(known, abs=tolerance), name


@pytest.mark.parametrize("kind", [History, HistorySite, HistoryAlike])
@pytest.mark.parametrize("missing", [False, True])
def test_the_mixture_is_that_of_its_formula(make_batch, kind, missing: bool) -> None:
    """One position at a time, with dense tables: every class, so that the sum is seen to be 1."""
    train = [batch_with_groups(make_batch, seed, missing) for seed in range(6)]
    baseline, batch = kind(), batch_with_groups(make_batch, 9, missing)
    baseline.fit(train, (), 11)
    prediction = baseline.predict(batch)
    for b, h, n in ((0, 0, 0), (1, 1, 3), (3, 2, 6), (2, 0, 5)):
        target = int(batch["future_cluster_ids"][b, h, n])
        p = slow_mixture(
            train, batch["input_cluster_ids"][b, :, n].numpy(), h, baseline.state_dict()[f"weights_{h + 1}"]
        )
        assert p.sum() == pytest.approx(1.0)
        if target >= 0:
            assert prediction.nll_nats[b, h, n] == pytest.approx(-np.log(p[target]), rel=1e-5)
            assert p[prediction.predicted[b, h, n]] == pytest.approx(p.max(), rel=1e-6)


def batch_with_groups(make_batch, seed: int, missing: bool) -> dict:
    return {**make_batch(seed, missing=missing), "group_ids": torch.zeros(4, dtype=torch.long)}


def slow_mixture(train: list[dict], past: np.ndarray, h: int, weights: np.ndarray) -> np.ndarray:
    counts, unigram, own_targets = [np.zeros((11, 11)) for _ in range(3)], np.full(11, 0.5), np.zeros((7, 11))
    for batch in train:
        for ids, future in zip(batch["input_cluster_ids"].numpy(), batch["future_cluster_ids"].numpy(), strict=True):
            for n in range(7):
                if future[h, n] >= 0:
                    unigram[future[h, n]] += 1
                    own_targets[n, future[h, n]] += 1
                    for back in range(3):
                        if ids[-1 - back, n] >= 0:
                            counts[back][ids[-1 - back, n], future[h, n]] += 1
    unigram /= unigram.sum()
    last, num_frames = past[-1], len(past)
    parts = [np.eye(11)[last] if last >= 0 else unigram]
    for rate in RATES:
        cache = np.zeros(11)
        for s, y in enumerate(past):
            if y >= 0:
                cache[y] += rate ** (num_frames - 1 - s)
        parts.append(cache / cache.sum() if cache.sum() else unigram)
    for back in range(3):
        row = counts[back][past[-1 - back]] if past[-1 - back] >= 0 else None
        parts.append(unigram if row is None else (row + unigram) / (row.sum() + 1))
    parts.append(unigram)
    if len(weights) >= 13:
        own = np.bincount(past[past >= 0], minlength=11)
        occupancy = (own + 5 * unigram) / (own.sum() + 5)
        row = np.zeros(11)
        for s in range(num_frames - h - 1):
            if past[s] == last >= 0 and past[s + h + 1] >= 0:
                row[past[s + h + 1]] += 1
        parts += [occupancy, (row + 2 * occupancy) / (row.sum() + 2)]
    if len(weights) == 15:
        mean = slow_alike(own_targets, past, unigram)
        parts += [mean, (own + 5 * mean) / (own.sum() + 5)]
    return weights @ np.array(parts)


def slow_alike(own_targets: np.ndarray, past: np.ndarray, unigram: np.ndarray) -> np.ndarray:
    """m(y) of HistoryAlike, from the counts of each residue (N, C)."""
    rows = [
        (sum(own[a] * own / own.sum() for own in own_targets if own.sum()) + unigram) / (own_targets[:, a].sum() + 1)
        for a in past
        if a >= 0
    ]
    return np.mean(rows, axis=0) if rows else unigram


@pytest.mark.parametrize("residue", range(7))
def test_in_training_the_residue_itself_is_left_out_of_the_classes_that_occur_together(make_batch, residue) -> None:
    """Its parts are then those of a training on the other residues, but for U, which counts them all."""
    train = [batch_with_groups(make_batch, seed, missing=True) for seed in range(3)]
    alike, at = fit_alike(train), next(iter(counted_positions(train[0])))
    at = at.chosen(at.residue == residue)
    own_targets = np.zeros((7, 11))
    for each in (next(iter(counted_positions(batch))) for batch in train):
        np.add.at(own_targets, (each.residue, each.target), 1)
    unigram = (own_targets.sum(axis=0) + 0.5) / (own_targets.sum() + 5.5)
    others = np.delete(own_targets, residue, axis=0)
    for left_out, counts in ((1, others), (0, own_targets)):
        expected = [slow_alike(counts, past, unigram)[y] for past, y in zip(at.history, at.target, strict=True)]
        np.testing.assert_allclose(alike.of(at, at.target, left_out)[0], expected, rtol=1e-10)


def fit_alike(train: list[dict]) -> Alike:
    """The part at the first horizon, with the counts of the residues."""
    sites = Sites()
    keys, counts = count_keys(train, lambda at: sites.learn(at) * 11 + at.target)[0]
    (site, ids), unigram = np.divmod(keys, 11), Unigram(keys % 11, counts, 11)
    return Alike(pairs_of_classes(site, ids, counts, 11), CountTable(site, ids, counts, 11), sites, unigram)


def test_what_is_kept_of_training_knows_classes_and_no_residues(make_batch) -> None:
    baseline, batch = HistoryAlike(), batch_with_groups(make_batch, 9, missing=True)
    baseline.fit([batch_with_groups(make_batch, seed, missing=True) for seed in range(3)], (), 11)
    state = baseline.state_dict()
    assert len(state["groups"]) == 0
    assert state["keys_1"].max() < 3 * 12 * 11 + 11 * 11  # of the tables of history, and of pairs of classes
    nll = baseline.predict(batch).nll_nats
    del batch["group_ids"]
    np.testing.assert_array_equal(baseline.predict(batch).nll_nats, nll)


@pytest.mark.parametrize("full_row", [0, 1.5])
def test_full_and_sparse_rows_of_pairs_give_the_same_probabilities(make_batch, monkeypatch, full_row: float) -> None:
    """As they stand, all rows of these data are full; then none is, and then some are."""
    baseline, batch = HistoryAlike(), batch_with_groups(make_batch, 9, missing=True)
    baseline.fit([batch_with_groups(make_batch, 0, missing=True)], (), 11)
    p = baseline.probabilities(batch, 1)
    monkeypatch.setattr("emprot_plugins.baselines.alike._FULL_ROW", full_row)
    baseline.load_state_dict(baseline.state_dict())
    np.testing.assert_allclose(baseline.probabilities(batch, 1), p, rtol=1e-10)


def test_on_shuffled_frames_the_classes_that_occur_together_are_known() -> None:
    """Nothing is left there but the frequencies of a residue, and a static forecast reaches 2.635 bits."""
    data = sample("kmeans_environment", shuffle_frames=0)
    bits = fitted_scores([HistorySite(), HistoryAlike()], data, 4)
    assert max(bits["history_alike"]["nll_bits"]) <= 2.645
    assert min(bits["history_site"]["nll_bits"]) > 2.67


@pytest.mark.parametrize("kind", [Interpolated, InterpolatedResidue, WindowedMode])
def test_a_window_of_the_last_frames_gives_what_short_batches_give(kind) -> None:
    long = fitted_scores([kind(window=10)], sample("threedi"), 4)
    short = fitted_scores([kind()], sample("threedi", past=0), 4)
    assert long == short
