"""One Markov chain for all residues together (deeptime, the extra `kinetics`): its timescales, and whether it is one.

IDs are (frames, residues), -1 where missing: a missing ID ends a stretch.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

_MOST_CLASSES = 1000  # the time grows with their cube, and rows of more would be noise anyway


def implied_timescales(pieces: Sequence[np.ndarray], lag: int, number: int = 3) -> list[float] | None:
    """The slowest relaxation times t_i = -lag / ln |lambda_i| in frames, of one chain for all residues together.

    Where residues keep to classes of their own, the chain is slow even if each residue forgets at once: read it beside
    independent draws. None if no piece is longer than the lag, or if more than 1,000 classes lead to each other.

    Raises:
        ModuleNotFoundError: deeptime is not installed.
    """
    chain = _chain(pieces, lag)
    if chain is None:
        return None
    slowest = np.sort(np.abs(np.linalg.eigvals(chain.transition_matrix)))[::-1][1 : number + 1]
    return (-lag / np.log(np.clip(slowest, 1e-300, 1 - 1e-12))).tolist()


def chapman_kolmogorov(
    pieces: Sequence[np.ndarray], steps: int = 5, num_simulations: int = 10, seed: int = 0
) -> dict[str, float] | None:
    """How far P(steps) is from P(1)^steps, in total variation weighted by the stationary distribution.

    Even a chain of first order does not give 0 on so few frames. So chains with the estimated P(1), of the shape of the
    data with its missing IDs, are simulated, and `floor` is the mean and `floor_sd` the spread of their values. A value
    means something only if it is above that. Residues with classes of their own lift it too, without any memory: read
    it beside independent draws. None as for `implied_timescales`.

    Raises:
        ModuleNotFoundError: deeptime is not installed.
    """
    chain, value = _chain(pieces, 1), _chapman_kolmogorov(pieces, steps)
    if chain is None or value is None:
        return None
    rng = np.random.default_rng(seed)
    rows, start = chain.transition_matrix, chain.stationary_distribution
    floors = []
    for _ in range(num_simulations):
        simulated = [np.where(piece < 0, -1, _simulate(rows, start, piece.shape, rng)) for piece in pieces]
        floors.append(_chapman_kolmogorov(simulated, steps))
    found = [floor for floor in floors if floor is not None]
    if len(found) < 2:
        return None
    return {"value": value, "floor": float(np.mean(found)), "floor_sd": float(np.std(found, ddof=1))}


def _stretches(pieces: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The stretches of known IDs of all residues, numbered from 0 on without a gap."""
    columns = [np.pad(piece, ((0, 1), (0, 0)), constant_values=-1).T.ravel() for piece in pieces]  # -1 ends each
    ids = np.concatenate(columns)
    edges = np.flatnonzero(np.diff(ids >= 0, prepend=False))
    numbers = np.searchsorted(np.unique(ids[ids >= 0]), ids).astype(np.int32)
    return [numbers[first:stop] for first, stop in edges.reshape(-1, 2)]


def _chain(pieces: Sequence[np.ndarray], lag: int) -> Any:
    """deeptime's Markov model of all residues together, on the largest set of classes that lead to each other."""
    try:
        from deeptime.markov import TransitionCountEstimator
        from deeptime.markov.msm import MaximumLikelihoodMSM
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("kinetics need deeptime; pip install 'emprot[kinetics]'") from error
    stretches = [each for each in _stretches(pieces) if len(each) > lag]
    if not stretches:
        return None
    counts = TransitionCountEstimator(lagtime=lag, count_mode="sliding", sparse=True).fit_fetch(stretches)
    largest = counts.submodel_largest()
    if largest.n_states > _MOST_CLASSES:
        return None
    return MaximumLikelihoodMSM(reversible=False).fit_fetch(largest)


def _chapman_kolmogorov(pieces: Sequence[np.ndarray], steps: int) -> float | None:
    one, many = _chain(pieces, 1), _chain(pieces, steps)
    if one is None or many is None:
        return None
    classes, here, there = np.intersect1d(
        one.count_model.state_symbols, many.count_model.state_symbols, return_indices=True
    )
    ahead = np.linalg.matrix_power(one.transition_matrix, steps)[np.ix_(here, here)]
    weights = one.stationary_distribution[here]
    distances = np.abs(ahead - many.transition_matrix[np.ix_(there, there)]).sum(axis=1) / 2
    return float((weights * distances).sum() / weights.sum()) if len(classes) else None


def _simulate(rows: np.ndarray, start: np.ndarray, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """(frames, residues) independent chains."""
    num_frames, num_residues = shape
    cumulative = rows.cumsum(axis=1)
    ids = np.empty((num_frames, num_residues), np.int64)
    ids[0] = rng.choice(len(start), num_residues, p=start / start.sum())
    for frame in range(1, num_frames):
        drawn = rng.random(num_residues)[:, None] >= cumulative[ids[frame - 1]]
        ids[frame] = np.minimum(drawn.sum(axis=1), len(start) - 1)
    return ids
