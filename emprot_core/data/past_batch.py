"""Batches of what came before chosen frames, for forecasts that belong to no split."""

from collections.abc import Sequence

import numpy as np
import torch

from emprot_core.batch import MISSING_ID, Batch, group_id


def batch_before(
    ids: Sequence[np.ndarray],
    last_frames: Sequence[int],
    num_frames: int,
    horizon: int,
    groups: Sequence[str] = (),
    time_steps_ns: Sequence[float] = (),
) -> Batch:
    """The batch of B windows, each the T frames that end with its last frame.

    Frames before the trajectory begins are masked, and so are targets after its end.

    Args:
        ids: (frames, residues) of the trajectory of each window.
        last_frames: counted from 0.
        num_frames: T.
        horizon: F.
        groups: the protein of each window; a name of their own if none is given.
        time_steps_ns: between frames; 0 if none is given, or NaN.
    """
    width = max(each.shape[1] for each in ids)
    whole = np.full((len(ids), num_frames + horizon, width), MISSING_ID, np.int64)
    for row, own, last in zip(whole, ids, last_frames, strict=True):
        first = last + 1 - num_frames
        read = own[max(0, first) : last + 1 + horizon]
        row[max(0, -first) : max(0, -first) + len(read), : own.shape[1]] = read
    lengths = np.array([each.shape[1] for each in ids], np.int64)
    inputs, targets = whole[:, :num_frames], whole[:, num_frames:]
    steps = np.nan_to_num(np.array(time_steps_ns or [0.0] * len(ids), np.float32))
    is_there = [
        [last + h < len(own) for h in range(1, horizon + 1)] for own, last in zip(ids, last_frames, strict=True)
    ]
    return {
        "input_cluster_ids": torch.from_numpy(inputs.copy()),
        "times": torch.from_numpy(steps[:, None] * np.arange(1 - num_frames, 1, dtype=np.float32)),
        "sequence_lengths": torch.from_numpy(lengths),
        "history_mask": torch.from_numpy(inputs > MISSING_ID),
        "residue_mask": torch.from_numpy(np.arange(width) < lengths[:, None]),
        "future_cluster_ids": torch.from_numpy(targets.copy()),
        "future_step_mask": torch.tensor(is_there),
        "window_ids": torch.arange(len(ids)),
        "group_ids": torch.tensor([group_id(name) for name in groups or [""] * len(ids)]),
    }
