"""How well changes are foreseen: the average precision of the event that a residue changes its class."""

import numpy as np
from torch import Tensor

from emprot_core.batch import Batch
from emprot_core.distributed import gather
from emprot_core.registry import register

from .tokens import Values, tokens_of


@register("score")
class ChangeDetection:
    """The average precision of the event x[t+h] != x[t], foreseen with 1 - p(x[t]); higher is better.

    A forecast that knows nothing has the change rate, which stands beside it. AP is the sum of (R_n - R_n-1) P_n over
    the thresholds, recall R and precision P (Manning et al. 2008, Introduction to information retrieval). It needs
    every token, so five bytes a token and forecaster are kept.
    """

    def start(self, num_clusters: int, horizon: int) -> None:
        self._kept: list[list[np.ndarray]] = [[] for _ in range(horizon)]  # p(x[t]) by horizon
        self._events: list[list[np.ndarray]] = [[] for _ in range(horizon)]

    def add(self, probabilities: Tensor, batch: Batch) -> None:
        for tokens in tokens_of(probabilities, batch):
            known = tokens.last >= 0
            self._kept[tokens.step].append(tokens.of(tokens.last.clamp(min=0))[known].numpy())
            self._events[tokens.step].append((tokens.targets != tokens.last)[known].numpy())

    def result(self) -> dict[str, Values]:
        """average_precision_change, change_rate: 0 to 1, None where no residue changes."""
        parts = gather((self._kept, self._events))
        nothing = np.zeros(0, np.float32)
        precisions: Values = []
        rates: Values = []
        for step in range(len(self._kept)):
            kept = np.concatenate([nothing, *(array for part in parts for array in part[0][step])])
            events = np.concatenate([nothing, *(array for part in parts for array in part[1][step])]) > 0
            rates.append(float(events.mean()) if len(events) else None)
            precisions.append(_average_precision(-kept, events) if events.any() else None)
        return {"average_precision_change": precisions, "change_rate": rates}


def _average_precision(scores: np.ndarray, events: np.ndarray) -> float:
    """The average precision; tokens of one score (P,) share a threshold."""
    order = np.argsort(-scores, kind="stable")
    scores, events = scores[order], events[order]
    last_of_threshold = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)
    found = np.cumsum(events, dtype=np.int64)[last_of_threshold]
    precision = found / (last_of_threshold + 1)
    return float((np.diff(found, prepend=0) * precision).sum() / found[-1])
