"""Whether rollouts move as the simulation does, beside two controls: another piece of it, and independent draws.

IDs are (frames, residues), -1 where missing: such an ID counts nowhere. Pieces that are compared have equal lengths,
because all of these numbers depend on the length. A number is None where nothing is known that it could be made of.
Memory grows with the IDs, not with the number of classes.
"""

import numpy as np

LAG = 25
"""Frames between the two IDs of `agreement`."""
_ENOUGH_FRAMES = 1000

Numbers = dict[str, float | None]


def compare(piece: np.ndarray, reference: np.ndarray) -> Numbers:
    """How a piece differs from a reference of the same length, over the residues of which both know something.

    occupancy_jsd_bits: Jensen-Shannon divergence of the class frequencies, the mean over residues; 0 to 1.
    change_rate_ratio: changes a frame, over those of the reference.
    dwell_ks: Kolmogorov-Smirnov distance between the dwell times of all residues, 0 to 1. Those
        at the ends of a piece count as long as they are seen.
    transition_tv: total variation between the transition rows of all residues, 0 to 1, over the classes that both
        leave, weighted by how often they do, the mean of both.
    agreement, agreement_reference: P(x[t + 25] = x[t]); None for pieces of 25 frames or fewer.
    mean_dwell_frames, mean_dwell_frames_reference: the mean of these dwell times.
    """
    known = (piece >= 0).any(axis=0) & (reference >= 0).any(axis=0)
    both = piece[:, known], reference[:, known]
    rates = [_mean(_pairs(ids, 1)[0] != _pairs(ids, 1)[1]) for ids in both]
    dwells = [_dwells(ids) for ids in both]
    return {
        "occupancy_jsd_bits": _mean(
            np.array([_jsd_bits(*columns) for columns in zip(*(i.T for i in both), strict=True)])
        ),
        "change_rate_ratio": rates[0] / rates[1] if rates[0] is not None and rates[1] else None,
        "dwell_ks": _ks(*dwells),
        "transition_tv": _transition_tv(*(_pairs(ids, 1) for ids in both)),
        "agreement": agreement(both[0]),
        "agreement_reference": agreement(both[1]),
        "mean_dwell_frames": _mean(dwells[0]),
        "mean_dwell_frames_reference": _mean(dwells[1]),
    }


def independent_draws(ids: np.ndarray, num_frames: int, seed: int) -> np.ndarray:
    """(num_frames, N) IDs drawn from the class frequencies of each residue; -1 where a residue has none."""
    rng = np.random.default_rng(seed)
    drawn = np.full((num_frames, ids.shape[1]), -1)
    for residue in np.flatnonzero((ids >= 0).any(axis=0)):
        own = ids[:, residue]
        drawn[:, residue] = rng.choice(own[own >= 0], num_frames)
    return drawn


def agreement(ids: np.ndarray, lag: int = LAG) -> float | None:
    """P(x[t + lag] = x[t]) over all frames and residues."""
    before, after = _pairs(ids, lag)
    return _mean(before == after)


def warning_for(num_frames: int) -> str:
    """What cannot be trusted with so few frames a residue; "" with enough."""
    if num_frames >= _ENOUGH_FRAMES:
        return ""
    return (
        f"{num_frames} frames a residue, fewer than {_ENOUGH_FRAMES}: trust the change rate, pooled dwell times, the "
        "agreement, and pooled timescales and Chapman-Kolmogorov beside the floor and independent draws. Do not trust "
        "occupancies without both controls, transition rows of hundreds of classes, or anything of a single residue"
    )


def _pairs(ids: np.ndarray, lag: int) -> tuple[np.ndarray, np.ndarray]:
    """The IDs `lag` frames apart of all residues, where both are known."""
    before, after = ids[:-lag], ids[lag:]
    known = (before >= 0) & (after >= 0)
    return before[known], after[known]


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if len(values) else None


def _jsd_bits(one: np.ndarray, other: np.ndarray) -> float:
    """Between the class frequencies of two lists of IDs."""
    one, other = one[one >= 0], other[other >= 0]
    classes, place = np.unique(np.concatenate([one, other]), return_inverse=True)
    p, q = (np.bincount(own, minlength=len(classes)) / len(own) for own in np.split(place, [len(one)]))
    middle = (p + q) / 2
    return float(sum((x[x > 0] * np.log2(x[x > 0] / middle[x > 0])).sum() for x in (p, q)) / 2)


def _dwells(ids: np.ndarray) -> np.ndarray:
    """The lengths of all stretches of one class, of all residues."""
    changes = np.ones((len(ids) + 1, ids.shape[1]), bool)
    changes[1:-1] = ids[1:] != ids[:-1]
    residue, frame = np.nonzero(changes.T)
    same = np.diff(residue) == 0
    is_known = ids[frame[:-1][same], residue[:-1][same]] >= 0
    return np.diff(frame)[same][is_known]


def _ks(one: np.ndarray, other: np.ndarray) -> float | None:
    if not len(one) or not len(other):
        return None
    values = np.arange(1, max(one.max(), other.max()) + 1)
    below = [np.searchsorted(np.sort(dwells), values, side="right") / len(dwells) for dwells in (one, other)]
    return float(np.abs(below[0] - below[1]).max())


def _transition_tv(one: tuple[np.ndarray, np.ndarray], other: tuple[np.ndarray, np.ndarray]) -> float | None:
    """Between the rows of two lists of transitions (from, to); only transitions that were seen are held in memory."""
    base = max((int(ids.max()) + 1 for ids in (*one, *other) if len(ids)), default=1)
    codes = [before.astype(np.int64) * base + after for before, after in (one, other)]
    kinds, place = np.unique(np.concatenate(codes), return_inverse=True)
    row = np.unique(kinds // base, return_inverse=True)[1]
    counts = np.stack([np.bincount(own, minlength=len(kinds)) for own in np.split(place, [len(codes[0])])])
    left = np.stack([np.bincount(row, weights=own) for own in counts])
    shares = counts / np.maximum(left, 1)[:, row]
    distances = np.bincount(row, weights=np.abs(shares[0] - shares[1])) / 2
    weights = (left / np.maximum(left.sum(axis=1, keepdims=True), 1)).sum(axis=0) * (left > 0).all(axis=0)
    return float((weights * distances).sum() / weights.sum()) if weights.any() else None
