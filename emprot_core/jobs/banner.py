"""What a training says of itself before it begins."""

import torch

from emprot_core.contracts import Data
from emprot_core.distributed import world_size
from emprot_core.evaluation.beside_baselines import samples_of
from emprot_core.jobs.context import RunContext
from emprot_core.jobs.splits import split_lines
from emprot_core.training.trainer import Trainer


def banner(trainer: Trainer, data: Data, context: RunContext) -> str:
    """The model, the data and their splits, the steps, the device, and where to look."""
    model = trainer.model
    windows = ", ".join(f"{data.num_windows(s)} {s}" for s in ("train", "validation", "test"))
    sampled = [f"{n.windows:,} of {n.of:,} {split}" for split, n in samples_of(data).items()]
    steps = data.loader("train").num_steps(trainer.grad_accum_steps)
    rows = {
        "model": f"{type(model).__name__}, {sum(p.numel() for p in model.parameters()):,} parameters",
        "data": f"{data.vocabulary.name}, {data.vocabulary.num_clusters} clusters; windows: {windows}",
        "splits": f"\n{' ' * 8}".join(split_lines(data)),
        **({"sample": f"{', '.join(sampled)} windows: baselines and scores are of these"} if sampled else {}),
        "steps": f"{steps} an epoch, {trainer.max_epochs} epochs" + _limits(trainer),
        "device": f"{context.device}, {world_size()} x {torch.get_num_threads()} threads, seed {context.seed}",
        "run": str(context.directory),
        "watch": f"tensorboard --logdir {context.directory.parent}",
    }
    return "\n".join(f"{name:<8}{text}" for name, text in rows.items())


def _limits(trainer: Trainer) -> str:
    most = "" if trainer.max_steps is None else f", at most {trainer.max_steps} in all"
    ranks = "" if world_size() == 1 else f"; a step takes {world_size()} times the windows of one process"
    return most + ranks
