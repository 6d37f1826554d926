"""The plain training of benchmarks.e2e_forms by Lightning, with its ModelCheckpoint."""

import logging
import warnings
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from benchmarks.e2e_forms import Marks, Task, loss_of


class Module(lightning.LightningModule):
    def __init__(self, task: Task, marks: Marks, num_steps: int):
        super().__init__()
        self.task, self.marks, self.num_steps = task, marks, num_steps
        self.model = task.model()

    def training_step(self, batch: Any, index: int) -> torch.Tensor:
        loss, _ = loss_of(self.model, batch)
        self.log("train/loss", loss)
        return loss

    def validation_step(self, batch: Any, index: int) -> None:
        loss, number = loss_of(self.model, batch)
        self.log("val/loss", loss, batch_size=number)

    def configure_optimizers(self) -> Any:
        optimizer, scheduler = self.task.optimizer(self.model, self.num_steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def on_fit_start(self) -> None:
        self.marks.begin()

    def on_validation_start(self) -> None:
        self.marks.trained()

    def on_validation_end(self) -> None:
        self.marks.validated(float(self.trainer.callback_metrics["val/loss"]))


def train(task: Task, marks: Marks, directory: Path) -> None:
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loaders = task.loaders()
        trainer = lightning.Trainer(
            accelerator="gpu" if task.device.type == "cuda" else "cpu",
            devices=1,
            precision="bf16-mixed" if task.device.type == "cuda" else "32-true",
            max_epochs=task.num_epochs,
            gradient_clip_val=1.0,
            log_every_n_steps=10,
            default_root_dir=str(directory),
            callbacks=[ModelCheckpoint(dirpath=str(directory), monitor="val/loss")],
            num_sanity_val_steps=0,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(Module(task, marks, task.num_epochs * len(loaders[0])), *loaders)
