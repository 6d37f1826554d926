"""The batches of a split: shuffled optimizer steps that can start anywhere, or every window once in order."""

from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise

import numpy as np
import torch

from emprot_core import distributed
from emprot_core.batch import MISSING_ID, Batch
from emprot_core.data.batches import Gather, Located, has_target
from emprot_core.data.store import StoreError

_STEPS_AT_ONCE = 256  # the order of so many steps is computed together: one step's windows are too few for numpy


class WindowLoader:
    """A StepLoader over the windows of a split.

    A global optimizer step takes batch_size x accumulation x ranks windows of the epoch's order, sorts them by
    residue count and cuts them into micro-batches, so that the windows of a step, and any sum over them, depend on
    neither the number of ranks nor the accumulation. The last step of an epoch may be short: fewer micro-batches,
    and smaller ones, as even as can be.

    In one process, micro-batches without a valid target are left out; they would add nothing. Several ranks must
    take the same number of micro-batches, so there they stay, and a rank left without windows gets a window whose
    future_step_mask is all False: both have weight zero.
    """

    def __init__(
        self,
        gather: Gather,
        batch_size: int,
        seed: int = 0,
        eval_batch_size: int | None = None,
        rank: int | None = None,
        world_size: int | None = None,
    ):
        """
        Args:
            batch_size: windows of a micro-batch in training.
            seed: of the order of the epochs.
            eval_batch_size: windows of a batch when iterated in order; batch_size where None.
            rank, world_size: those of this process where None.

        Raises:
            ValueError: a batch size is below 1.
        """
        self.batch_size = batch_size
        self.eval_batch_size = batch_size if eval_batch_size is None else eval_batch_size
        for name, size in {"batch_size": batch_size, "eval_batch_size": self.eval_batch_size}.items():
            if size < 1:
                raise ValueError(f"{name} is {size}, expected at least 1 window; bind {name} to a positive number")
        self.gather, self.seed = gather, seed
        self.num_windows = len(gather.windows)
        self.rank = distributed.rank() if rank is None else rank
        self.world_size = distributed.world_size() if world_size is None else world_size

    def num_steps(self, grad_accum_steps: int) -> int:
        """Optimizer steps of one epoch."""
        return -(-self.gather.windows.epoch_size // self._windows_per_step(grad_accum_steps))

    def steps(self, epoch: int, first_step: int | Fraction, grad_accum_steps: int) -> Iterator[list[Batch]]:
        """The micro-batches of each optimizer step of this rank, from `first_step` on; as many on every rank.

        A fraction of a step is behind where the steps before were of another size, from another number of ranks.

        Raises:
            StoreError: an ID is out of range, or (in one process) all windows of a step lack a valid target.
        """
        order = self.gather.windows.epoch_order(self.seed, epoch)
        per_step = self._windows_per_step(grad_accum_steps)
        for start in range(int(first_step * per_step), order.num_items, _STEPS_AT_ONCE * per_step):
            positions = np.arange(start, min(start + _STEPS_AT_ONCE * per_step, order.num_items))
            located = self.gather.locate(order(positions))
            step = np.arange(len(positions)) // per_step
            by_size = located.take(np.lexsort((located.residues, step)))
            for first in range(0, len(positions), per_step):
                yield self._micro_batches(by_size, first, min(first + per_step, len(positions)))

    def __len__(self) -> int:
        """Batches of an iteration on this rank (those without any valid target included, though left out)."""
        return -(-len(range(self.rank, self.num_windows, self.world_size)) // self.eval_batch_size)

    def __iter__(self) -> Iterator[Batch]:
        """Every window of this rank once, in the order of the data; rank r of R has the windows r, r+R, ...

        Batches without any valid target are left out.
        """
        span = self.eval_batch_size * self.world_size
        for start in range(self.rank, self.num_windows, span):
            batch = self.gather(np.arange(start, min(start + span, self.num_windows), self.world_size))
            if has_target(batch):
                yield batch

    def unsharded(self) -> "WindowLoader":
        """The loader that one process alone would have: every window, on every rank. For what counts, not trains."""
        return WindowLoader(self.gather, self.batch_size, self.seed, self.eval_batch_size, rank=0, world_size=1)

    def _windows_per_step(self, grad_accum_steps: int) -> int:
        return self.batch_size * grad_accum_steps * self.world_size

    def _micro_batches(self, by_size: Located, start: int, stop: int) -> list[Batch]:
        """Those of this rank in the step of the windows [start, stop)."""
        per_rank = -(-(stop - start) // (self.batch_size * self.world_size))
        # Neighbours in size go to the ranks side by side: the micro-batches of one moment cost alike.
        parts = _even_parts(start, stop, per_rank * self.world_size)[self.rank :: self.world_size]
        step = slice(start, stop)
        batches = [
            self.gather.read(by_size.take(part)) if part.start < part.stop else self._blank(by_size.take(step))
            for part in parts
        ]
        if self.world_size > 1:
            return batches
        counted = [batch for batch in batches if has_target(batch)]
        if not counted:
            self._refuse(by_size.take(step))
        return counted

    def _blank(self, located: Located) -> Batch:
        batch = self.gather.read(located.take(slice(0, 1)))
        batch["future_step_mask"] = torch.zeros_like(batch["future_step_mask"])
        batch["future_cluster_ids"] = torch.full_like(batch["future_cluster_ids"], MISSING_ID)
        return batch

    def _refuse(self, located: Located) -> None:
        store = self.gather.store
        name = store.index[located.trajectory[0]]["name"]
        raise StoreError(
            f"{store.directory}: none of the {len(located.window_ids)} windows of an optimizer step has a known target "
            f"ID; the first is trajectory {name!s}, whose history starts at frame {located.first_frame[0]}; "
            "leave trajectories without IDs out of the data, or take larger batches"
        )


def _even_parts(start: int, stop: int, num_parts: int) -> list[slice]:
    """[start, stop) in so many neighbouring parts, the first of them larger by one where it does not come out even."""
    size, larger = divmod(stop - start, num_parts)
    ends = [start + size * part + min(part, larger) for part in range(num_parts + 1)]
    return [slice(start, stop) for start, stop in pairwise(ends)]
