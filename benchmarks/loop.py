"""Steps of the loop itself: a model so small that starting operations is what takes the time.

Every loop trains the same model on the same batches in memory, with AdamW, gradients clipped at a norm of 1, a
learning rate set in every step and TensorBoard every 50 steps. Ours has every hook of base.gin besides (checkpoints
at the end alone). A mark before each forward gives the time of a step: that of the process, in one thread.
"""

import copy
import importlib
import importlib.util
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks import dispatch, hook_cost
from benchmarks.interleave import median_ratio
from benchmarks.targets import target
from benchmarks.timing import in_fresh_process, spread
from benchmarks.tiny import LEARNING_RATE, LOG_EVERY, B, C, F, K, N, Problem, TinyModel, make_batches
from emprot_core import registry
from emprot_core.batch import Batch
from emprot_core.hooks.base import RunInfo
from emprot_core.training import Trainer

WARM_UP = 20  # steps
HOOKS = (
    *("ClipGradients", "MixedPrecision", "NonFinite", "Checkpoint"),
    *("EarlyStopping", "Preemption", "TensorBoard", "Progress"),
)
PEERS = {  # what is imported -> the file in benchmarks.peers
    "ignite": "ignite_loop",
    "accelerate": "accelerate_loop",
    "lightning": "lightning_loop",
    "transformers": "transformers_loop",
    "mmengine": "mmengine_loop",
}


CASES = {"tiny step": (32, 4), "1 ms step": (64, 6)}
"""Width and layers of the model, about those steps long in the hand-written loop; the times say how long here."""
Loop = Callable[[Problem, Path], None]


def hand_written(problem: Problem, directory: Path) -> None:
    """The loop that one writes."""
    from torch.utils.tensorboard import SummaryWriter

    model = problem.model
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.0)
    scheduler = problem.scheduler(optimizer)
    writer = SummaryWriter(str(directory))
    model.train()
    for step, batch in enumerate(problem.batches, start=1):
        loss = problem.loss(model, batch)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        scheduler.step()
        if step % LOG_EVERY == 0:
            writer.add_scalar("train/loss", loss.item(), step)
            writer.add_scalar("train/learning_rate", scheduler.get_last_lr()[0], step)
    writer.close()


def emprot(problem: Problem, directory: Path) -> None:
    """Ours, with every hook of base.gin."""
    trainer = Trainer(
        problem.model,  # type: ignore[arg-type]
        registry.get("loss", "MaskedCrossEntropy")(),
        partial(registry.get("optimizer", "adamw"), learning_rate=LEARNING_RATE, weight_decay=0.0),
        registry.get("scheduler", "cosine_with_warmup"),
        hooks=[registry.get("hook", name)() for name in HOOKS],
        log_every_steps=LOG_EVERY,
    )
    trainer.attach(RunInfo(directory=directory))
    trainer.fit(problem.batches)


def run(device: str) -> Iterator[dict[str, Any]]:
    """One record per case, and two of what hooks cost. Loops are timed on the CPU whatever the device.

    Every peer takes turns with the hand-written loop in a process of its own: what one imports must not slow another.
    """
    installed, missing = find_peers()
    for case in CASES:
        record = {**in_fresh_process(measure, case, ["EMPROT", "hand-written again"]), "not_installed": missing}
        for peer in installed:
            beside = in_fresh_process(measure, case, [peer], 100, 7)
            record["times"][peer] = beside["times"][peer]
            record["ratios"] |= beside["ratios"]
        yield record
    yield dispatch.measure()
    yield in_fresh_process(hook_cost.measure)


def find_peers() -> tuple[list[str], list[str]]:
    """The peers that are installed, and those that are not."""
    installed = [name for name in PEERS if importlib.util.find_spec(name) is not None]
    return installed, [name for name in PEERS if name not in installed]


def find_loop(name: str) -> Loop:
    own: dict[str, Loop] = {"hand-written": hand_written, "hand-written again": hand_written, "EMPROT": emprot}
    return own[name] if name in own else importlib.import_module(f"benchmarks.peers.{PEERS[name]}").train


def measure(case: str, names: Sequence[str], num_steps: int = 200, num_rounds: int = 15) -> dict[str, Any]:
    """Times of the hand-written loop and of the named ones, and their ratios to it."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    width, num_layers = CASES[case]
    torch.manual_seed(0)
    model, batches = TinyModel(width, num_layers), make_batches(num_steps)
    loops = {name: find_loop(name) for name in ("hand-written", *names)}
    seconds: dict[str, list[float]] = {name: [] for name in loops}
    for number in range(num_rounds + 1):
        for name, loop in loops.items():
            step_seconds = seconds_per_step(loop, Problem(copy.deepcopy(model), batches))
            if number:  # the first round warms up
                seconds[name].append(step_seconds)
    ratios = {name: median_ratio(values, seconds["hand-written"]) for name, values in seconds.items()}
    record = {
        "name": case,
        "width": width,
        "num_layers": num_layers,
        "B": B,
        "K": K,
        "N": N,
        "F": F,
        "C": C,
        "num_parameters": sum(p.numel() for p in model.parameters()),
        "times": {name: spread(values) for name, values in seconds.items()},
        "ratios": {f"{name} / hand-written": ratios[name] for name in names},
    }
    if "EMPROT" in names:
        record["largest_relative_difference_of_a_loss"] = difference_of_losses(model, batches)
        record["targets"] = [target(f"loop / hand-written, {case}", 0.72, ratios["EMPROT"])]
    return record


def seconds_per_step(loop: Loop, problem: Problem) -> float:
    """Seconds of this process from one forward to the next, over the steps after the warm-up."""
    marks: list[float] = []

    def mark(module: nn.Module, inputs: Any) -> None:
        if module.training:  # not when the model is held against its contract
            marks.append(time.process_time())

    handle = problem.model.register_forward_pre_hook(mark)
    with tempfile.TemporaryDirectory() as directory:
        loop(problem, Path(directory))
    handle.remove()
    assert len(marks) == problem.num_steps, (len(marks), problem.num_steps)
    return (marks[-1] - marks[WARM_UP]) / (len(marks) - 1 - WARM_UP)


def difference_of_losses(model: nn.Module, batches: Sequence[Batch]) -> float:
    """The largest difference between our loss of a step and the hand-written loop's, relative to the latter."""
    losses = [losses_of(loop, Problem(copy.deepcopy(model), batches)) for loop in (hand_written, emprot)]
    return max(abs(b - a) / abs(a) for a, b in zip(*losses, strict=True))


def losses_of(loop: Loop, problem: Problem) -> list[float]:
    """The loss of every step, from what the model gave."""
    losses: list[float] = []
    batches = iter(problem.batches)

    def note(module: nn.Module, inputs: Any, outputs: dict[str, Tensor]) -> None:
        if not module.training:
            return
        terms = registry.get("loss", "MaskedCrossEntropy")()(outputs, next(batches))
        losses.append(float(terms.sum.detach().double() / terms.weight))

    handle = problem.model.register_forward_hook(note)
    with tempfile.TemporaryDirectory() as directory:
        loop(problem, Path(directory))
    handle.remove()
    return losses
