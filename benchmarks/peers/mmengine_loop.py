"""MMEngine: a Runner with its default hooks, checkpoints left out."""

import warnings
from operator import itemgetter
from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from benchmarks.tiny import LEARNING_RATE, LOG_EVERY, Problem


class Wrapped(BaseModel):
    def __init__(self, problem: Problem):
        super().__init__()
        self.problem, self.model = problem, problem.model

    def forward(self, batch: Any, mode: str = "loss") -> dict[str, torch.Tensor]:
        return {"loss": self.problem.loss(self.model, batch)}

    def train_step(self, data: Any, optim_wrapper: Any) -> dict[str, torch.Tensor]:
        with optim_wrapper.optim_context(self):
            losses = self(data)
        loss, logged = self.parse_losses(losses)
        optim_wrapper.update_params(loss)
        return logged


class EveryStep(Hook):
    """The schedule of the problem, one step at a time."""

    def __init__(self, scheduler: torch.optim.lr_scheduler.LRScheduler):
        self.scheduler = scheduler

    def after_train_iter(self, *unused: Any, **also_unused: Any) -> None:
        self.scheduler.step()


def train(problem: Problem, directory: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        optimizer = torch.optim.AdamW(problem.model.parameters(), lr=LEARNING_RATE, weight_decay=0.0)
        runner = Runner(
            model=Wrapped(problem),
            work_dir=str(directory),
            train_dataloader=DataLoader(problem.batches, collate_fn=itemgetter(0)),  # type: ignore[arg-type]
            train_cfg={"by_epoch": True, "max_epochs": 1},
            optim_wrapper={"optimizer": optimizer, "clip_grad": {"max_norm": 1.0}},
            default_hooks={"logger": {"type": "LoggerHook", "interval": LOG_EVERY}, "checkpoint": None},
            visualizer={"type": "Visualizer", "vis_backends": [{"type": "TensorboardVisBackend"}]},
            custom_hooks=[EveryStep(problem.scheduler(optimizer))],
            experiment_name=directory.name,
            log_level="ERROR",
        )
        runner.train()
