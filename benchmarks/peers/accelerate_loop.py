"""Hugging Face Accelerate: the hand-written loop with its wrappers, accumulation and tracker."""

from pathlib import Path

import torch
from accelerate import Accelerator

from benchmarks.tiny import LEARNING_RATE, LOG_EVERY, Problem


def train(problem: Problem, directory: Path) -> None:
    accelerator = Accelerator(cpu=True, log_with="tensorboard", project_dir=str(directory))
    accelerator.init_trackers("run")
    optimizer = torch.optim.AdamW(problem.model.parameters(), lr=LEARNING_RATE, weight_decay=0.0)
    model, optimizer, scheduler = accelerator.prepare(problem.model, optimizer, problem.scheduler(optimizer))
    model.train()
    for step, batch in enumerate(problem.batches, start=1):
        with accelerator.accumulate(model):
            loss = problem.loss(model, batch)
            accelerator.backward(loss)
            if accelerator.sync_gradients:
                accelerator.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
        if step % LOG_EVERY == 0:
            accelerator.log({"loss": loss.item(), "learning_rate": scheduler.get_last_lr()[0]}, step=step)
    accelerator.end_training()
    accelerator.free_memory()
