"""Weights of another run as a start: all that fit, with a list of what was taken, left and new."""

import logging
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from emprot_core.checkpoint import load_checkpoint
from emprot_core.jobs.context import RunRefused
from emprot_core.jobs.load import StoredRun, best_weights
from emprot_core.words import first_of

_log = logging.getLogger("emprot")


def take_weights(model: nn.Module, source: str) -> None:
    """Give a model the weights of a run, or of a checkpoint, wherever name and shape are the same.

    Another protein or vocabulary has tables of other sizes: those stay as they were made. The log lists them.

    Args:
        source: a run directory, whose best weights count, or a checkpoint file.

    Raises:
        RunRefused: no weight fits.
        CheckpointError: there is no such run or checkpoint.
    """
    state = StoredRun(source).state if Path(source).is_dir() else load_checkpoint(source)
    given, own = best_weights(state), model.state_dict()
    taken = [name for name, weight in own.items() if name in given and given[name].shape == weight.shape]
    new = [_described(name, own, given) for name in own if name not in taken]
    left = [name for name in given if name not in own]
    if not taken:
        raise RunRefused(
            f"run.init_from = {source!r}: none of its {len(given)} weights fits {type(model).__name__}, which has "
            f"{first_of(list(own))}; give a run of the same kind of model"
        )
    model.load_state_dict({**own, **{name: given[name] for name in taken}})
    _log.info("weights from %s: %d of %d taken", source, len(taken), len(own))
    for what, names in (("new, as they have another size there or are not there", new), ("left", left)):
        if names:
            _log.info("  %s: %s", what, first_of(names))


def _described(name: str, own: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> str:
    there = f", there {tuple(given[name].shape)}" if name in given else ""
    return f"{name} {tuple(own[name].shape)}{there}"
