"""A hook: what is done at the events of a training (emprot_core/hooks/base.py lists them)."""

from emprot_core import Hook, register
from emprot_core.hooks.base import TrainerView


@register("hook")
class TemplateHook(Hook):
    """Logs the largest gradient norm so far as train/largest_norm."""

    state_names = ("largest",)  # what a checkpoint keeps of this hook

    def __init__(self) -> None:
        self.largest = 0.0

    def on_backward_end(self, trainer: TrainerView) -> None:
        """Once for each optimizer step, before the update."""
        self.largest = max(self.largest, float(trainer.gradient_norm()))

    def scalars(self, trainer: TrainerView) -> dict[str, float]:
        """What TensorBoard shows beside the rest."""
        return {"train/largest_norm": self.largest}
