"""What --replay prints."""

from collections.abc import Callable, Iterator
from math import log

import numpy as np

from emprot_core.jobs.replay import Replay

_ROWS = 5


def format_replay(replay: Replay, directory: str) -> str:
    """The numbers of the step, and the trajectories, frames and residues with the largest share of its NLL."""
    return "\n".join(_lines(replay, directory))


def _lines(replay: Replay, directory: str) -> Iterator[str]:
    yield f"step {replay.step} of {directory}, computed again from {replay.origin or 'the beginning'}"
    yield ""
    for name, value, place in (("loss", replay.loss, 0), ("gradient norm", replay.gradient_norm, 1)):
        unit = " nats" if name == "loss" else ""
        yield f"  {name:14}{value:.6g}{unit}{_beside(value, replay.logged and replay.logged[place])}"
    yield f"  {'learning rate':14}{replay.learning_rate:.4g}"
    tokens = replay.tokens
    if not len(tokens.nll):
        yield ""
        yield "the loss of single tokens is not known: the step is compiled, or no target counts"
        return
    names = np.array(replay.names)[tokens.trajectory]
    yield from _table("trajectory", names, tokens.nll, str)
    yield from _table("trajectory, frame", list(zip(names, tokens.frame, strict=True)), tokens.nll, _joined)
    yield from _table(
        "trajectory, residue (from 0)", list(zip(names, tokens.residue, strict=True)), tokens.nll, _joined
    )


def _beside(value: float, logged: float | None) -> str:
    if logged is None:
        return "  (steps.bin does not have this step)"
    if value == logged or (value != value and logged != logged):
        return "  as in the run, to the bit"
    return f"  the run had {logged:.6g}: another machine, device or number of threads gives other last digits"


def _table(title: str, keys: object, nll: np.ndarray, text: Callable[..., str]) -> Iterator[str]:
    """The keys with the largest sums."""
    found, which = np.unique(np.array(keys), axis=0, return_inverse=True)
    sums, counts = np.bincount(which.ravel(), nll), np.bincount(which.ravel())
    yield ""
    yield f"  {title:40} share of the NLL   mean, bits   targets"
    for place in np.argsort(-sums, kind="stable")[:_ROWS]:
        share, mean = sums[place] / sums.sum(), sums[place] / counts[place] / log(2)
        yield f"  {text(found[place]):40} {share:16.1%} {mean:12.3f} {counts[place]:9}"


def _joined(key: np.ndarray) -> str:
    return ", ".join(key)
