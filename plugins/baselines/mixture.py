"""Mixtures of tables: weights by expectation maximisation, and their exact most probable class."""

from collections.abc import Callable

import numpy as np

from .positions import Positions

_EM_STEPS = 60
_LEAST_WEIGHT = 1e-12  # a weight may shrink by a factor at every step, but must not end as 0: log p would be -inf


def em_weights(components: np.ndarray, counts: np.ndarray, steps: int = _EM_STEPS) -> np.ndarray:
    """(M,) mixture weights after `steps` of EM from equal ones.

    Args:
        components: (M, P) each component's probability of each observation.
        counts: (P,) how often each observation came.
    """
    weights = np.full(len(components), 1 / len(components))
    if not counts.sum():
        return weights
    share = counts / counts.sum()
    for _ in range(steps):
        # The mean responsibility w_m p_m / sum(w p) over all observations, as two matrix-vector products.
        weights = weights * (components @ (share / (weights @ components)))
    weights = np.maximum(weights, _LEAST_WEIGHT)
    return weights / weights.sum()


def mixture_forecast(
    at: Positions, probability: Callable[[np.ndarray], np.ndarray], best_outside: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The most probable class and the nll of the target (nats), each (P,).

    Outside a residue's history a mixture of C classes depends on few things (the last ID, the site), so its best
    class there is found once for all positions that share them; the few classes inside are tried one by one.

    Args:
        probability: p(y) of IDs (P, J), for each position J of them.
        best_outside: (P,) the most probable class if no class were favoured for being in the history.
    """
    candidates = np.concatenate([at.history, best_outside[:, None]], axis=1)
    values = np.where(candidates >= 0, probability(np.maximum(candidates, 0)), -1.0)
    best = np.take_along_axis(candidates, values.argmax(axis=1)[:, None], axis=1)[:, 0]
    return best, -np.log(probability(at.target[:, None])[:, 0])
