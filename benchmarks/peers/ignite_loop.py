"""PyTorch Ignite: an Engine of a train step, with handlers for the rate and TensorBoard."""

from pathlib import Path

import torch
from ignite.engine import Engine, Events
from ignite.handlers.tensorboard_logger import OptimizerParamsHandler, OutputHandler, TensorboardLogger

from benchmarks.tiny import LEARNING_RATE, LOG_EVERY, Problem
from emprot_core.batch import Batch


def train(problem: Problem, directory: Path) -> None:
    model = problem.model
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.0)
    scheduler = problem.scheduler(optimizer)

    def step(engine: Engine, batch: Batch) -> torch.Tensor:
        model.train()
        loss = problem.loss(model, batch)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss

    trainer = Engine(step)
    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda: scheduler.step())
    with TensorboardLogger(log_dir=str(directory)) as logger:
        every = Events.ITERATION_COMPLETED(every=LOG_EVERY)
        logger.attach(trainer, OutputHandler("train", output_transform=lambda loss: {"loss": loss.item()}), every)
        logger.attach(trainer, OptimizerParamsHandler(optimizer), every)
        trainer.run(problem.batches, max_epochs=1)
