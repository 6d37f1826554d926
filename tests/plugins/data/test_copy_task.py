"""The copy task: what a residue shows is what it showed `period` frames before, nearly always."""

import numpy as np
import pytest
import torch
from emprot_plugins.data.copy_task import CopyProcess, CopyTask

from emprot_core.errors import EmprotError


def frames_of(data: CopyTask) -> np.ndarray:
    """(windows, K + F, N) of the test split."""
    batches = list(data.loader("test"))
    return torch.cat([torch.cat([b["input_cluster_ids"], b["future_cluster_ids"]], 1) for b in batches]).numpy()


def test_frames_repeat_after_a_period_and_are_renewed_as_often_as_asked() -> None:
    frames = frames_of(CopyTask(history=8, horizon=12, period=8, renewal=0.2, test_windows=400))
    repeats = (frames[:, 8:] == frames[:, :-8]).mean()
    assert repeats == pytest.approx(0.8 + 0.2 / 16, abs=0.005)
    assert (frames[:, 1:] == frames[:, :-1]).mean() == pytest.approx(1 / 16, abs=0.005)
    assert np.bincount(frames.ravel(), minlength=16) / frames.size == pytest.approx(np.full(16, 1 / 16), abs=0.005)


def test_the_exact_distribution_is_that_of_the_next_frame() -> None:
    data = CopyTask(history=8, horizon=1, renewal=0.1, num_clusters=4, num_residues=50, test_windows=200)
    found = np.zeros((4, 4))
    for batch in data.loader("test"):
        exact = batch["next_distribution"].numpy()
        assert exact.sum(axis=-1) == pytest.approx(1.0, abs=1e-6)
        copied = batch["input_cluster_ids"][:, -8].numpy()
        assert (exact.argmax(axis=-1) == copied).all()
        np.add.at(found, (copied, batch["future_cluster_ids"][:, 0].numpy()), 1)
    process = CopyProcess(num_residues=4, num_clusters=4, period=1, renewal=0.1)
    wanted = process.exact(np.arange(4)[None, None])[0]
    assert found / found.sum(axis=1, keepdims=True) == pytest.approx(wanted, abs=0.02)


def test_a_history_shorter_than_the_period_is_refused() -> None:
    with pytest.raises(EmprotError, match=r"CopyTask.history is 7, expected 8 or more"):
        CopyTask(history=7, horizon=1)


def test_a_renewal_that_is_no_probability_is_refused() -> None:
    with pytest.raises(EmprotError, match=r"CopyTask.renewal is 5.0, expected a probability"):
        CopyTask(history=8, horizon=1, renewal=5.0)
