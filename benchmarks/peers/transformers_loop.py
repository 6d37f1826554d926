"""Hugging Face's Trainer, fed by a DataLoader of ready batches."""

import warnings
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader
from transformers import Trainer, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from benchmarks.tiny import LEARNING_RATE, LOG_EVERY, Problem


class ProblemTrainer(Trainer):
    def __init__(self, problem: Problem, optimizer: torch.optim.Optimizer, arguments: TrainingArguments):
        super().__init__(problem.model, arguments, optimizers=(optimizer, problem.scheduler(optimizer)))
        self.problem = problem
        self.remove_callback(PrinterCallback)

    def compute_loss(self, model: torch.nn.Module, inputs: Any, *unused: Any, **also_unused: Any) -> torch.Tensor:
        return self.problem.loss(model, inputs)

    def get_train_dataloader(self) -> DataLoader:
        return DataLoader(self.problem.batches, batch_size=None)  # type: ignore[arg-type]


def train(problem: Problem, directory: Path) -> None:
    optimizer = torch.optim.AdamW(problem.model.parameters(), lr=LEARNING_RATE, weight_decay=0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        arguments = TrainingArguments(
            output_dir=str(directory),
            use_cpu=True,
            num_train_epochs=1,
            max_grad_norm=1.0,
            logging_steps=LOG_EVERY,
            report_to="tensorboard",
            save_strategy="no",
            disable_tqdm=True,
        )
        ProblemTrainer(problem, optimizer, arguments).train()
