"""Mixtures of tables: weights by expectation maximisation (EM), and the exact most probable class."""

from collections.abc import Callable

import numpy as np

from .positions import Positions

_EM_STEPS = 60
_LEAST_WEIGHT = 1e-12  # a weight can shrink at every step, but must not become 0: log p would be -inf


def em_weights(components: np.ndarray, counts: np.ndarray, steps: int = _EM_STEPS) -> np.ndarray:
    """The mixture weights (M,) after `steps` steps of EM, which starts from equal weights.

    Args:
        components: (M, P) each component's probability of each observation.
        counts: (P,) how often each observation occurred.
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

    For classes outside a residue's history, the mixture depends on few things (the last ID, the site), so the best of
    these classes is found once for all positions that share them. The few classes in the history are tried one by one.

    Args:
        probability: gives p(y) of IDs (P, J), J of them for each position.
        best_outside: (P,) the class that would be most probable if the history favoured none.
    """
    candidates = np.concatenate([at.history, best_outside[:, None]], axis=1)
    values = np.where(candidates >= 0, probability(np.maximum(candidates, 0)), -1.0)
    best = np.take_along_axis(candidates, values.argmax(axis=1)[:, None], axis=1)[:, 0]
    return best, -np.log(probability(at.target[:, None])[:, 0])
