"""What the baselines without a distribution share: one ID for each residue, the same at every horizon."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping

import numpy as np

from emprot_core.batch import Batch, target_mask
from emprot_core.contracts import Prediction
from emprot_core.data.history import observed_history


class PointForecast(ABC):
    """Forecasts an ID from a residue's history, and the commonest training target where the history is empty."""

    name: str

    def fit(self, train: Iterable[Batch], validation: Iterable[Batch], num_clusters: int) -> None:
        counts = np.zeros(num_clusters, np.int64)
        for batch in train:
            targets = batch["future_cluster_ids"][target_mask(batch)].cpu().numpy()
            counts += np.bincount(targets, minlength=num_clusters)
        self._commonest = int(counts.argmax())  # on ties, the smallest ID

    def predict(self, batch: Batch) -> Prediction:
        ids = self._ids(observed_history(batch))
        predicted = np.where(ids >= 0, ids, self._commonest)
        return Prediction(np.repeat(predicted[:, None], batch["future_cluster_ids"].shape[1], axis=1), None)

    def state_dict(self) -> dict[str, np.ndarray]:
        return {"commonest": np.array(self._commonest)}

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        self._commonest = int(state["commonest"])

    @abstractmethod
    def _ids(self, history: np.ndarray) -> np.ndarray:
        """(B, N) the forecast from a history (B, T, N), negative where it is empty."""
