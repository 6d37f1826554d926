"""Lightning: a LightningModule that logs its loss in every step."""

import logging
import warnings
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from torch.utils.data import DataLoader

from benchmarks.tiny import LEARNING_RATE, LOG_EVERY, Problem
from emprot_core.batch import Batch


class Module(lightning.LightningModule):
    def __init__(self, problem: Problem):
        super().__init__()
        self.problem, self.model = problem, problem.model

    def training_step(self, batch: Batch, index: int) -> torch.Tensor:
        loss = self.problem.loss(self.model, batch)
        self.log("train/loss", loss)
        return loss

    def configure_optimizers(self) -> dict[str, Any]:
        optimizer = torch.optim.AdamW(self.parameters(), lr=LEARNING_RATE, weight_decay=0.0)
        scheduler = {"scheduler": self.problem.scheduler(optimizer), "interval": "step"}
        return {"optimizer": optimizer, "lr_scheduler": scheduler}


def train(problem: Problem, directory: Path) -> None:
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = lightning.Trainer(
            accelerator="cpu",
            max_epochs=1,
            gradient_clip_val=1.0,
            log_every_n_steps=LOG_EVERY,
            logger=TensorBoardLogger(str(directory)),
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(Module(problem), DataLoader(problem.batches, batch_size=None))  # type: ignore[arg-type]
