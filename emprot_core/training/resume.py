"""The state of a training that a checkpoint holds, and how training continues from it."""

import contextlib
import logging
from typing import Any

from torch import Tensor

from emprot_core.checkpoint import CheckpointError
from emprot_core.distributed import gather, rank, world_size
from emprot_core.randomness import environment, random_state, restore_random_state, seed_this_rank
from emprot_core.training.requests import State

POSITION = ("epoch", "step", "micro_batches_done", "due", "best", "val_logs")
PIECES = (
    *("model_state_dict", "optimizer", "optimizer_class", "scheduler", "scaler", "divisor"),
    *(*POSITION, "log_sums", "epoch_sums", "stops", "hooks"),
    *("random", "environment", "config", "config_digest", "data_digest"),
)
_log = logging.getLogger("emprot")


def capture(trainer: Any) -> State:
    """Everything that training needs to continue bit for bit, as tensors and plain values. All ranks must call it."""
    run = trainer.run
    return {
        "model_state_dict": trainer.model.state_dict(),
        "evaluation_state_dict": _evaluation_weights(trainer),
        **trainer.updates.state_dict(),
        **{name: getattr(trainer, name) for name in POSITION},
        "log_sums": trainer.log_sums.state_dict(),
        "epoch_sums": trainer.epoch_sums.state_dict(),
        "stops": trainer.requests.reasons(),
        "hooks": trainer.hooks.state_dict(),
        "random": gather(random_state(run.device)),
        "environment": environment(run.device),
        **{name: getattr(run, name) for name in ("config", "config_digest", "data_digest")},
    }


def restore_position(trainer: Any, state: State) -> None:
    """Restore the weights and the position within the training.

    Raises:
        CheckpointError: a piece is missing.
        RuntimeError: the weights do not fit the model.
    """
    if missing := [name for name in PIECES if name not in state]:
        raise CheckpointError(
            f"the checkpoint lacks {', '.join(missing)}, so training cannot go on from it as it was; "
            "to take its weights alone: run.init_from"
        )
    trainer.model.load_state_dict(state["model_state_dict"])
    for name in POSITION:
        setattr(trainer, name, state[name])


def restore_rest(trainer: Any, state: State | None) -> None:
    """Restore everything else, after the optimizer was made and on_fit_start emitted. None means a new training.

    Raises:
        CheckpointError: the state does not fit the optimizer, the scheduler or the hooks.
    """
    if state is None:
        if world_size() > 1:
            seed_this_rank(trainer.run.seed, trainer.step)
        return
    config_changed = state["config_digest"] != trainer.run.config_digest
    trainer.updates.load_state_dict(state, keep_rates=config_changed)
    trainer.log_sums.load_state_dict(state["log_sums"], trainer.run.device)
    trainer.epoch_sums.load_state_dict(state["epoch_sums"], trainer.run.device)
    trainer.requests.restore([] if config_changed else state["stops"])  # the change may be meant to train longer
    trainer.hooks.load_state_dict(state["hooks"])
    now = environment(trainer.run.device)
    changes = [f"{name} {was} -> {now.get(name)}" for name, was in state["environment"].items() if was != now.get(name)]
    if changes:
        _log.warning("going on with another set-up, so the last digits may differ: %s", ", ".join(changes))
    if len(state["random"]) == world_size():
        restore_random_state(state["random"][rank()], trainer.run.device)
        return
    seed_this_rank(trainer.run.seed, trainer.step)
    _log.warning("dropout goes on with new random numbers, drawn from run.seed, the number of ranks and the step")


def _evaluation_weights(trainer: Any) -> dict[str, Tensor] | None:
    """The weights that validation uses, or None if they are the model's own."""
    if trainer.use_evaluation_weights is contextlib.nullcontext:
        return None
    with trainer.use_evaluation_weights():
        return {name: value.clone() for name, value in trainer.model.state_dict().items()}
