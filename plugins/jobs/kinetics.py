"""Whether rollouts move as the simulation does, beside two controls: another piece of it, and independent draws.

IDs are (frames, residues), -1 where missing. Pieces that are compared have equal lengths, because all of these numbers
depend on the length.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

LAG = 25
"""Frames between the two IDs of `agreement`."""
_ENOUGH_FRAMES = 1000

Numbers = dict[str, float | None]


def compare(piece: np.ndarray, reference: np.ndarray, num_clusters: int) -> Numbers:
    """How a piece differs from a reference of the same length and the same residues.

    occupancy_jsd_bits: Jensen-Shannon divergence of the class frequencies, the mean over residues; 0 to 1.
    change_rate_ratio: changes a frame, over those of the reference.
    dwell_ks: Kolmogorov-Smirnov distance between the dwell times of all residues, 0 to 1. Those
        at the ends of a piece count as long as they are seen.
    transition_tv: total variation between the transition rows of all residues, weighted by how often a class is left,
        the mean of both; 0 to 1.
    agreement, agreement_reference: P(x[t + 25] = x[t]); None for pieces of 25 frames or fewer.
    """
    known = (piece >= 0).all(axis=0) & (reference >= 0).all(axis=0)
    piece, reference = piece[:, known], reference[:, known]
    return {
        "occupancy_jsd_bits": float(np.mean(_jsd(*(_occupancy(ids, num_clusters) for ids in (piece, reference))))),
        "change_rate_ratio": float((piece[1:] != piece[:-1]).mean() / (reference[1:] != reference[:-1]).mean()),
        "dwell_ks": _ks(_dwells(piece), _dwells(reference)),
        "transition_tv": _transition_tv(*(_transitions(ids, num_clusters) for ids in (piece, reference))),
        "agreement": agreement(piece),
        "agreement_reference": agreement(reference),
    }


def independent_draws(ids: np.ndarray, num_frames: int, num_clusters: int, seed: int) -> np.ndarray:
    """(num_frames, N) IDs drawn from the class frequencies of each residue; -1 where a residue has none."""
    rng = np.random.default_rng(seed)
    drawn = np.full((num_frames, ids.shape[1]), -1)
    for residue in np.flatnonzero((ids >= 0).any(axis=0)):
        own = ids[:, residue]
        drawn[:, residue] = rng.choice(own[own >= 0], num_frames)
    return drawn


def agreement(ids: np.ndarray, lag: int = LAG) -> float | None:
    """P(x[t + lag] = x[t]) over all frames and residues."""
    return float((ids[lag:] == ids[:-lag]).mean()) if len(ids) > lag else None


def implied_timescales(pieces: Sequence[np.ndarray], lag: int, number: int = 3) -> list[float]:
    """The slowest relaxation times t_i = -lag / ln |lambda_i| in frames, of one chain for all residues together.

    Raises:
        ModuleNotFoundError: deeptime is not installed.
    """
    eigenvalues = np.sort(np.abs(np.linalg.eigvals(_chain(pieces, lag).transition_matrix)))[::-1]
    slowest = eigenvalues[1 : number + 1]
    return (-lag / np.log(np.clip(slowest, 1e-300, 1 - 1e-12))).tolist()


def chapman_kolmogorov(
    pieces: Sequence[np.ndarray], steps: int = 5, num_simulations: int = 10, seed: int = 0
) -> dict[str, float]:
    """How far P(steps) is from P(1)^steps, in total variation weighted by the stationary distribution.

    Even a chain of first order does not give 0 on so few frames. So chains with the estimated P(1), of the shape of the
    data, are simulated, and `floor` is the mean and `floor_sd` the spread of their values. A value means something only
    if it is above that.

    Raises:
        ModuleNotFoundError: deeptime is not installed.
    """
    chain = _chain(pieces, 1)
    rng = np.random.default_rng(seed)
    rows, start = chain.transition_matrix, chain.stationary_distribution
    floors = [
        _chapman_kolmogorov([_simulate(rows, start, len(piece), piece.shape[1], rng) for piece in pieces], steps)
        for _ in range(num_simulations)
    ]
    spread = float(np.std(floors, ddof=1)) if num_simulations > 1 else 0.0
    return {"value": _chapman_kolmogorov(pieces, steps), "floor": float(np.mean(floors)), "floor_sd": spread}


def warning_for(num_frames: int) -> str:
    """What cannot be trusted with so few frames a residue; "" with enough."""
    if num_frames >= _ENOUGH_FRAMES:
        return ""
    return (
        f"{num_frames} frames a residue, fewer than {_ENOUGH_FRAMES}: trust the change rate, pooled dwell times, the "
        "agreement, and pooled timescales and Chapman-Kolmogorov beside their floor; not occupancies without both "
        "controls, nor transition rows of hundreds of classes, nor anything of a single residue"
    )


def _occupancy(ids: np.ndarray, num_clusters: int) -> np.ndarray:
    """(N, C) the class frequencies of each residue."""
    counts = np.zeros((ids.shape[1], num_clusters))
    np.add.at(counts, (np.arange(ids.shape[1]), ids), 1)
    return counts / len(ids)


def _jsd(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    middle = (p + q) / 2
    halves = [np.where(x > 0, x * np.log2(np.where(x > 0, x, 1) / np.where(middle > 0, middle, 1)), 0) for x in (p, q)]
    return sum(half.sum(axis=-1) for half in halves) / 2


def _dwells(ids: np.ndarray) -> np.ndarray:
    """The lengths of all stretches of one class, of all residues."""
    changes = np.ones((len(ids) + 1, ids.shape[1]), bool)
    changes[1:-1] = ids[1:] != ids[:-1]
    residue, frame = np.nonzero(changes.T)
    lengths = np.diff(frame)
    return lengths[np.diff(residue) == 0]


def _ks(one: np.ndarray, other: np.ndarray) -> float:
    values = np.arange(1, max(one.max(), other.max()) + 1)
    below = [np.searchsorted(np.sort(dwells), values, side="right") / len(dwells) for dwells in (one, other)]
    return float(np.abs(below[0] - below[1]).max())


def _transitions(ids: np.ndarray, num_clusters: int) -> np.ndarray:
    counts = np.zeros((num_clusters, num_clusters))
    np.add.at(counts, (ids[:-1].ravel(), ids[1:].ravel()), 1)
    return counts


def _transition_tv(one: np.ndarray, other: np.ndarray) -> float:
    left = [counts.sum(axis=1) for counts in (one, other)]
    rows = [counts / np.maximum(total, 1)[:, None] for counts, total in zip((one, other), left, strict=True)]
    weights = left[0] / left[0].sum() / 2 + left[1] / left[1].sum() / 2
    return float((weights * np.abs(rows[0] - rows[1]).sum(axis=1) / 2).sum())


def _chain(pieces: Sequence[np.ndarray], lag: int) -> Any:
    """deeptime's Markov model of all residues together, on the largest set of classes that lead to each other."""
    try:
        from deeptime.markov import TransitionCountEstimator
        from deeptime.markov.msm import MaximumLikelihoodMSM
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("kinetics need deeptime; pip install 'emprot[kinetics]'") from error
    columns = [np.ascontiguousarray(column, np.int32) for piece in pieces for column in piece.T if (column >= 0).all()]
    counts = TransitionCountEstimator(lagtime=lag, count_mode="sliding").fit(columns).fetch_model()
    return MaximumLikelihoodMSM(reversible=False).fit(counts.submodel_largest()).fetch_model()


def _chapman_kolmogorov(pieces: Sequence[np.ndarray], steps: int) -> float:
    one, many = _chain(pieces, 1), _chain(pieces, steps)
    classes, here, there = np.intersect1d(
        one.count_model.state_symbols, many.count_model.state_symbols, return_indices=True
    )
    ahead = np.linalg.matrix_power(one.transition_matrix, steps)[np.ix_(here, here)]
    weights = one.stationary_distribution[here]
    distances = np.abs(ahead - many.transition_matrix[np.ix_(there, there)]).sum(axis=1) / 2
    return float((weights * distances).sum() / weights.sum()) if len(classes) else float("nan")


def _simulate(
    rows: np.ndarray, start: np.ndarray, num_frames: int, num_residues: int, rng: np.random.Generator
) -> np.ndarray:
    """(num_frames, num_residues) independent chains."""
    cumulative = rows.cumsum(axis=1)
    ids = np.empty((num_frames, num_residues), np.int64)
    ids[0] = rng.choice(len(start), num_residues, p=start / start.sum())
    for frame in range(1, num_frames):
        drawn = rng.random(num_residues)[:, None] >= cumulative[ids[frame - 1]]
        ids[frame] = np.minimum(drawn.sum(axis=1), len(start) - 1)
    return ids
