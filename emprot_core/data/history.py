"""The observed history of a batch as NumPy arrays, for baselines and scores."""

import numpy as np

from emprot_core.batch import MISSING_ID, Batch


def observed_history(batch: Batch) -> np.ndarray:
    """(B, K, N) int64: the input IDs, MISSING_ID wherever the history may not be read."""
    mask = batch["history_mask"].cpu().numpy()
    return np.where(mask, batch["input_cluster_ids"].cpu().numpy(), MISSING_ID)


def last_known(history: np.ndarray) -> np.ndarray:
    """(B, N): each residue's most recent known ID in a history (B, K, N), MISSING_ID where there is none."""
    back = np.argmax(history[:, ::-1] >= 0, axis=1)  # 0 if the last frame is known, and also if none is
    frame = history.shape[1] - 1 - back
    return np.take_along_axis(history, frame[:, None], axis=1)[:, 0]
