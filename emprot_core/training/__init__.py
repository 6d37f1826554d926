"""The event loop (Trainer) and the seed's front to it (EMPROTTrainer)."""

from emprot_core.training.emprot_trainer import EMPROTTrainer
from emprot_core.training.trainer import Trainer

__all__ = ["EMPROTTrainer", "Trainer"]
