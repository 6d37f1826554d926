"""One training of a shipped config: by ours, and by the loop, Dataset and DataLoader that one writes."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from benchmarks.plain_models import PlainAxialForecaster, PlainForecaster
from benchmarks.timing import synchronize
from emprot_core import config, registry
from emprot_core.batch import MISSING_ID, Batch, model_inputs, move_batch, target_mask
from emprot_core.hooks.base import Hook, RunInfo
from emprot_core.jobs.counts import give_class_counts, give_transitions

PLAIN_MODELS: dict[str, type[PlainForecaster]] = {"base.gin": PlainForecaster, "axial.gin": PlainAxialForecaster}
"""Other configs are trained with our model in all forms: then loop, Dataset and DataLoader alone differ."""


@dataclass
class Marks:
    """What a training notes: seconds of each epoch and validation, and the validation losses in nats."""

    device: torch.device
    epochs: list[float] = field(default_factory=list)
    validations: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)

    def now(self) -> float:
        """Seconds of this process on a CPU, where others may be busy; by the clock on CUDA."""
        synchronize(self.device)
        return time.process_time() if self.device.type == "cpu" else time.perf_counter()

    def begin(self) -> None:
        self._since = self.now()

    def trained(self) -> None:
        """An epoch is over, and its validation begins."""
        self.epochs.append(self.now() - self._since)
        self.begin()

    def validated(self, loss: float) -> None:
        self.validations.append(self.now() - self._since)
        self.losses.append(loss)
        self.begin()


class Task:
    """The job of a config, with what the plain forms need of it."""

    def __init__(self, name: str, num_epochs: int, device: torch.device):
        registry.load_plugins()
        self.name, self.num_epochs, self.device = name, num_epochs, device
        self.config = config.load([name], [f"Trainer.max_epochs = {num_epochs}"])
        self.job: Any = self.config.parameters("run", lazy={"job"})["job"]()
        torch.manual_seed(0)
        give_class_counts(self.job.data, self.job.trainer.model, self.job.trainer.forward_loss.loss)
        give_transitions(self.job.data, self.job.trainer.model)

    def model(self) -> nn.Module:
        """A model that takes a batch to logits (B, F, N, C)."""
        if self.name not in PLAIN_MODELS:
            return _LogitsOf(self.job.trainer.model).to(self.device)
        ours = self.job.trainer.model
        layers = 1 if self.name == "axial.gin" else 2
        sizes = {"C": ours.num_clusters, "F": ours.future_horizon, "K": ours.max_history, "N": 302, "D": ours.d_embed}
        counts = self.job.data.class_counts().double()
        return PLAIN_MODELS[self.name]({**sizes, "layers": layers, "heads": 4}, 0.1, counts).to(self.device)

    def loaders(self) -> tuple[DataLoader[Any], DataLoader[Any]]:
        history = 0 if self.name in PLAIN_MODELS else self.job.data.past
        train, validation = (WindowDataset(self.job.data, split, history) for split in ("train", "validation"))
        return DataLoader(train, batch_size=4, shuffle=True), DataLoader(validation, batch_size=16)

    def optimizer(self, model: nn.Module, num_steps: int) -> tuple[Any, Any]:
        """AdamW and the schedule of base.gin by torch's own classes."""
        optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.05, betas=(0.9, 0.98))
        ours = registry.get("scheduler", "cosine_with_warmup")(optimizer, num_steps, 0.1, 3e-5)
        return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, ours.lr_lambdas)

    def num_targets(self) -> int:
        """Targets of an epoch of training."""
        return sum(int(target_mask(batch).sum()) for batch in self.job.data.all_windows("train"))

    def autocast(self) -> Any:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda")


class _LogitsOf(nn.Module):
    """A model of ours, as the plain forms call it."""

    def __init__(self, model: Any):
        super().__init__()
        self.model = model

    def forward(self, batch: Batch) -> Tensor:
        return self.model(*model_inputs(batch), left_out=batch["left_out"])["cluster_logits"]


class WindowDataset(Dataset[dict[str, Tensor]]):
    """One window an item: slices of the frames of the one trajectory that the config names."""

    def __init__(self, data: Any, split: str, past: int):
        loader = data.loader(split)
        windows = loader.gather.windows
        located = windows.locate(np.arange(len(windows)))
        (trajectory,) = np.unique(located.trajectory)
        self.ids = data.store.ids(int(trajectory))
        self.last, self.step_mask = located.last_frame, located.step_mask
        self.horizon, self.length = self.step_mask.shape[1], past + windows.history
        self.left_out = torch.cat([batch["left_out"] for batch in loader])

    def __len__(self) -> int:
        return len(self.last)

    def __getitem__(self, item: int) -> dict[str, Tensor]:
        end = int(self.last[item]) + 1
        start = max(0, end - self.length)
        history = torch.from_numpy(self.ids[start:end].astype(np.int64))
        history = F.pad(history, (0, 0, self.length - len(history), 0), value=MISSING_ID)
        future = torch.from_numpy(self.ids[end : end + self.horizon].astype(np.int64))
        return {
            "input_cluster_ids": history,
            "sequence_lengths": torch.tensor(history.shape[1]),
            "history_mask": history != MISSING_ID,
            "residue_mask": torch.ones(history.shape[1], dtype=torch.bool),
            "future_cluster_ids": F.pad(future, (0, 0, 0, self.horizon - len(future)), value=MISSING_ID),
            "future_step_mask": torch.from_numpy(self.step_mask[item]),
            "left_out": self.left_out[item],
        }


def loss_of(model: Callable[[Batch], Tensor], batch: Batch) -> tuple[Tensor, int]:
    """The mean cross-entropy of the targets that count, and their number."""
    mask = target_mask(batch)
    targets = batch["future_cluster_ids"][mask]
    return F.cross_entropy(model(batch)[mask].float(), targets), len(targets)


def emprot(task: Task, marks: Marks, directory: Path) -> None:
    """Ours, with every hook of the config."""
    job = task.job
    run = RunInfo(directory=directory, device=task.device, config=task.config.text())
    job.trainer.attach(run, _Marking(marks))
    marks.begin()
    job.trainer.fit(job.data.loader("train"), job.data.loader("validation"))


class _Marking(Hook):
    def __init__(self, marks: Marks):
        self.marks = marks

    def on_validation_start(self, trainer: Any) -> None:
        self.marks.trained()

    def on_validation_end(self, trainer: Any) -> None:
        self.marks.validated(trainer.val_logs["val/token_ce"])


def plain(task: Task, marks: Marks, directory: Path) -> None:
    """The loop that one writes, with the best weights saved."""
    model, (train, validation) = task.model(), task.loaders()
    optimizer, scheduler = task.optimizer(model, task.num_epochs * len(train))
    marks.begin()
    for _ in range(task.num_epochs):
        model.train()
        for batch in train:
            with task.autocast():
                loss, _ = loss_of(model, move_batch(batch, task.device))
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            scheduler.step()
        marks.trained()
        model.eval()
        total, count = 0.0, 0
        with torch.no_grad(), task.autocast():
            for batch in validation:
                loss, number = loss_of(model, move_batch(batch, task.device))
                total, count = total + float(loss) * number, count + number
        if total / count < min(marks.losses, default=float("inf")):
            torch.save(model.state_dict(), directory / "best.pt")
        marks.validated(total / count)
