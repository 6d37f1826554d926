"""The windows that a split is scored on, and a hash of them and of their targets."""

import hashlib
from typing import NamedTuple

import numpy as np

from emprot_core.batch import MISSING_ID, Batch, group_id, target_mask
from emprot_core.contracts import Data, Split


class ScoredWindows(NamedTuple):
    """The W windows of a split that have a target, in the order of the data."""

    trajectory: np.ndarray  # (W,) names
    last_frame: np.ndarray  # (W,) int64, the last input frame
    num_residues: np.ndarray  # (W,) int64
    digest: str


def scored_windows(data: Data, split: Split) -> ScoredWindows:
    """The windows of a split that have a target. All of them are read."""
    numbers, residues, hashes = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for batch in data.all_windows(split) if data.num_windows(split) else ():
        mask = target_mask(batch).numpy()
        counted = mask.any(axis=(1, 2))
        numbers.append(batch["window_ids"].numpy()[counted])
        residues.append(batch["sequence_lengths"].numpy()[counted])
        hashes.append(target_hashes(batch, mask)[counted])
    trajectory, last_frame = names_and_frames(data, split, np.concatenate(numbers))
    digest = windows_digest(trajectory, last_frame, np.concatenate(hashes))
    return ScoredWindows(trajectory, last_frame, np.concatenate(residues), digest)


def group_names(data: Data, split: Split) -> dict[int, str]:
    """The names of the proteins of a split by their group_ids."""
    return {group_id(each.group): each.group for each in data.split_contents(split)}


def names_and_frames(data: Data, split: Split, window_ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(B,) the names of the trajectories of windows (B,), and (B,) their last input frames."""
    names = np.array([each.trajectory for each in data.split_contents(split)], str)
    place, last_frame = data.places(split, window_ids)
    return names[place], last_frame


def target_hashes(batch: Batch, mask: np.ndarray) -> np.ndarray:
    """(B,) int64: a hash of the targets of each window; mask: (B, F, N) bool, the target mask M."""
    targets = np.where(mask, batch["future_cluster_ids"].cpu().numpy(), MISSING_ID).astype("<i4")
    lengths = batch["sequence_lengths"].tolist()
    digests = [_hash(np.ascontiguousarray(row[:, :n])) for row, n in zip(targets, lengths, strict=True)]
    return np.frombuffer(b"".join(digests), "<i8").astype(np.int64)


def windows_digest(trajectory: np.ndarray, last_frame: np.ndarray, hashes: np.ndarray) -> str:
    """The SHA-256 of W windows: names (W,), last input frames (W,), and hashes of the targets (W,)."""
    whole = hashlib.sha256("\n".join(trajectory.tolist()).encode())
    for numbers in (last_frame, hashes):
        whole.update(numbers.astype("<i8").tobytes())
    return whole.hexdigest()


def _hash(array: np.ndarray) -> bytes:
    return hashlib.blake2b(array.data, digest_size=8).digest()
