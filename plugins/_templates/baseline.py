"""A baseline: a forecast without gradient training, which stands beside the model in every table."""

from collections.abc import Iterable

import numpy as np

from emprot_core import register
from emprot_core.batch import Batch
from emprot_core.contracts import Prediction


@register("baseline")
class TemplateBaseline:
    """The class frequencies of the training, for every residue and every future frame."""

    name = "template_baseline"

    def fit(self, train: Iterable[Batch], validation: Iterable[Batch], num_clusters: int) -> None:
        """Count the targets of the training windows; each class begins with a count of 1."""
        counts = np.ones(num_clusters)
        for batch in train:
            targets = batch["future_cluster_ids"].numpy()
            counts += np.bincount(targets[targets >= 0], minlength=num_clusters)
        self.frequencies = counts / counts.sum()

    def predict(self, batch: Batch) -> Prediction:
        """The forecast at the targets (B, F, N), with the NLL of each in nats."""
        targets = batch["future_cluster_ids"].numpy()
        predicted = np.full(targets.shape, self.frequencies.argmax())
        return Prediction(predicted, -np.log(self.frequencies[targets.clip(0)]))

    def probabilities(self, batch: Batch, horizon: int) -> np.ndarray:
        """(B, N, C): so it can be calibrated, sampled from and mixed."""
        windows, _, residues = batch["future_cluster_ids"].shape
        return np.broadcast_to(self.frequencies, (windows, residues, len(self.frequencies)))
