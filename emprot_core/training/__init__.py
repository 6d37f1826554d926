"""The training loop (Trainer) and its front for plain Python, which runs seed.gin (EMPROTTrainer)."""

from emprot_core.training.emprot_trainer import EMPROTTrainer
from emprot_core.training.trainer import Trainer

__all__ = ["EMPROTTrainer", "Trainer"]
