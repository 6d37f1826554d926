"""The mixtures over a residue's whole past, against a slow twin and against figures found independently."""

import numpy as np
import pytest
import torch
from baseline_scores import fitted_scores
from emprot_plugins.baselines.history import History, HistorySite
from emprot_plugins.baselines.interpolated import Interpolated
from emprot_plugins.baselines.interpolated_residue import InterpolatedResidue
from emprot_plugins.baselines.windowed_mode import WindowedMode
from emprot_plugins.data.trajectory_windows import TrajectoryWindows
from emprot_plugins.splits.by_time import ByTime

RATES = (0.5, 0.75, 0.88, 0.95, 0.985, 1.0)


def sample(vocabulary: str, past: int = 200) -> TrajectoryWindows:
    split = ByTime(0.7, 0.1, 0.2)
    return TrajectoryWindows(
        f"sample:{vocabulary}", 10, 4, split, past=past, trajectories=["prolif*"], eval_batch_size=16
    )


@pytest.mark.parametrize(
    ("vocabulary", "history", "history_site"),
    [
        ("threedi", (0.925, 0.990), (0.915, 0.981)),
        ("kmeans_environment", (2.451, 2.658), (2.428, 2.638)),
        ("protein_blocks", (0.266, 0.352), (0.257, 0.346)),
    ],
)
def test_the_bar_has_its_known_bits(vocabulary: str, history, history_site) -> None:
    scores = fitted_scores([History(), HistorySite()], sample(vocabulary), 4)
    for name, known, tolerance in (("history", history, 0.005), ("history_site", history_site, 0.01)):
        bits = scores[name]["nll_bits"]
        assert (bits[0], bits[3]) == pytest.approx(known, abs=tolerance), name


@pytest.mark.parametrize("kind", [History, HistorySite])
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
    counts, unigram = [np.zeros((11, 11)) for _ in range(3)], np.full(11, 0.5)
    for batch in train:
        for ids, future in zip(batch["input_cluster_ids"].numpy(), batch["future_cluster_ids"].numpy(), strict=True):
            for n in range(7):
                if future[h, n] >= 0:
                    unigram[future[h, n]] += 1
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
    if len(weights) == 13:
        own = np.bincount(past[past >= 0], minlength=11)
        occupancy = (own + 5 * unigram) / (own.sum() + 5)
        row = np.zeros(11)
        for s in range(num_frames - h - 1):
            if past[s] == last >= 0 and past[s + h + 1] >= 0:
                row[past[s + h + 1]] += 1
        parts += [occupancy, (row + 2 * occupancy) / (row.sum() + 2)]
    return weights @ np.array(parts)


@pytest.mark.parametrize("kind", [Interpolated, InterpolatedResidue, WindowedMode])
def test_a_window_of_the_last_frames_gives_what_short_batches_give(kind) -> None:
    long = fitted_scores([kind(window=10)], sample("threedi"), 4)
    short = fitted_scores([kind()], sample("threedi", past=0), 4)
    assert long == short
