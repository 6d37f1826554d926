"""The trainer with the hooks of base.gin around a step that is replayed as CUDA graphs, beside the bare replay.

Both copy a batch to the device and replay forward, backward and update of one `Updates`. In the bare form the clipping
is part of a graph; with the trainer the hooks do it. The learning rate of a graph is fixed. On a CPU the works are
called as they are, which tests the benchmark and measures nothing.
"""

import tempfile
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.interleave import interleaved, median_ratio
from benchmarks.loop import HOOKS
from benchmarks.step import Case, Step, random_batch
from benchmarks.targets import HOOKS_OVER_GRAPH, target_on_cuda
from benchmarks.timing import spread
from benchmarks.tiny import LOG_EVERY
from emprot_core import registry
from emprot_core.batch import Batch, move_batch
from emprot_core.hooks.base import Hook, MakeContext, RunInfo
from emprot_core.training import Trainer
from emprot_core.training.sums import MetricSums
from emprot_core.training.updates import Updates

Work = Callable[[], Any]


def measure(
    case: Case, device_name: str, has_target: bool, num_steps: int = 100, num_rounds: int = 7
) -> dict[str, Any]:
    """Milliseconds of a step by both forms."""
    device = torch.device(device_name)
    batches = [random_batch(case)] * num_steps
    with tempfile.TemporaryDirectory() as directory:
        trainer = trainer_over_replay(case, device, batches[0], num_rounds, Path(directory))
        forms: dict[str, Work] = {
            "bare replay": bare_replay(case, device, batches),
            "trainer with hooks": partial(trainer.train_epoch, batches),
        }
        seconds = interleaved(forms, num_rounds, device)
        trainer.hooks.emit("on_fit_end", trainer)  # TensorBoard writes into the folder until it is told of the end
    ratio = median_ratio(seconds["trainer with hooks"], seconds["bare replay"])
    return {
        **asdict(case),
        "name": f"{case.name}, hooks over a replayed graph",
        "times": {name: spread([value / num_steps for value in values]) for name, values in seconds.items()},
        "ratios": {"trainer with hooks / bare replay": ratio},
        "targets": [target_on_cuda(HOOKS_OVER_GRAPH, ratio)] if has_target else [],
    }


def bare_replay(case: Case, device: torch.device, batches: list[Batch]) -> Work:
    """A function that takes a step with each batch."""
    made = Step(case, device)
    factories = (registry.get("optimizer", "adamw"), registry.get("scheduler", "cosine_with_warmup"))
    updates, static = Updates(made.model, *factories, len(batches)), move_batch(batches[0], device)
    replay = Replay(updates, static)
    clip = registry.get("hook", "ClipGradients")()
    replay.capture(made.forward_loss, partial(torch.autocast, device.type, torch.bfloat16), clip)

    def steps() -> None:
        for batch in batches:
            copy_batch(batch, static)
            replay.backward()
            replay.update()

    return steps


def trainer_over_replay(case: Case, device: torch.device, batch: Batch, num_rounds: int, directory: Path) -> Trainer:
    """A trainer whose `Updates` replays: an epoch of it does the same."""
    made = Step(case, device)
    trainer = Trainer(
        made.model,
        registry.get("loss", case.loss)(),
        registry.get("optimizer", "adamw"),
        registry.get("scheduler", "cosine_with_warmup"),
        hooks=[*(registry.get("hook", name)() for name in HOOKS), UsesReplay(batch)],
        max_epochs=num_rounds + 1,
        log_every_steps=LOG_EVERY,
    )
    trainer.attach(RunInfo(directory=directory, device=device))
    return trainer


class Replay:
    """Forward and backward, and the update, of an `Updates` with the batch `static`, as two graphs."""

    def __init__(self, updates: Updates, static: Batch):
        self.updates, self.static, self.sums = updates, static, MetricSums()
        self.backward: Work
        self.update: Work

    def capture(self, forward_loss: torch.nn.Module, autocast: MakeContext, clip: Hook | None = None) -> None:
        device = self.static["input_cluster_ids"].device
        backward, update = self.updates.backward, self.updates.step

        def gradients() -> None:
            self.sums = backward(forward_loss, [self.static], autocast)
            if clip is not None:
                clip.on_backward_end(self.updates)  # type: ignore[attr-defined]  # it has the norm and the gradients

        self.backward, self.update = graph_of(gradients, device), graph_of(update, device)


class UsesReplay(Hook):
    """Makes the trainer replay its steps. It comes last, as it captures what other hooks have set."""

    def __init__(self, batch: Batch):
        self.batch = batch

    def on_fit_start(self, trainer: Any) -> None:
        updates, static = trainer.updates, move_batch(self.batch, trainer.run.device)
        replay = Replay(updates, static)
        replay.capture(trainer.forward_loss, trainer.autocast)

        def backward(forward_loss: torch.nn.Module, micro_batches: list[Batch], autocast: MakeContext) -> MetricSums:
            copy_batch(micro_batches[0], static)
            replay.backward()
            return replay.sums

        def update() -> None:
            replay.update()
            updates.scheduler.step()

        updates.backward, updates.step = backward, update


def copy_batch(batch: Batch, into: Batch) -> None:
    for name, tensor in into.items():
        tensor.copy_(batch[name], non_blocking=True)  # type: ignore[attr-defined, literal-required]


def graph_of(work: Work, device: torch.device) -> Work:
    """Capture a work, after three calls of it on another stream, as torch asks for; on a CPU the work itself."""
    if device.type == "cpu":
        return work
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            work()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    return graph.replay
