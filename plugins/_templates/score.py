"""A score: a judgement of probabilities on the test split, of the model and of every baseline."""

import numpy as np
from torch import Tensor

from emprot_core import register
from emprot_core.batch import Batch, target_mask
from emprot_core.distributed import gather


@register("score")
class TemplateScore:
    """The mean probability of the target; higher is better."""

    def start(self, num_clusters: int, horizon: int) -> None:
        """Begin anew."""
        self.sums, self.counts = np.zeros(horizon), np.zeros(horizon)

    def add(self, probabilities: Tensor, batch: Batch) -> None:
        """Add a batch of probabilities (B, F, N, C)."""
        mask, targets = target_mask(batch), batch["future_cluster_ids"].clamp_min(0)
        chosen = probabilities.gather(-1, targets[..., None])[..., 0]
        self.sums += np.nansum((chosen * mask).numpy(), axis=(0, 2))
        self.counts += mask.sum(dim=(0, 2)).numpy()

    def result(self) -> dict[str, list[float | None]]:
        """A value for each future frame, over all ranks."""
        sums, counts = sum(gather(self.sums)), sum(gather(self.counts))
        return {"template_score": [s / n if n else None for s, n in zip(sums.tolist(), counts.tolist(), strict=True)]}
