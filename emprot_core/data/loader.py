"""The batches of a split: shuffled optimizer steps that can start anywhere, or every window once in order."""

from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise

import numpy as np
import torch

from emprot_core import distributed
from emprot_core.batch import MISSING_ID, Batch, has_target
from emprot_core.data.batches import Gather, Located
from emprot_core.data.store import StoreError
from emprot_core.errors import EmprotError

_STEPS_AT_ONCE = 256  # steps whose order is computed together: one step has too few windows for numpy


class WindowLoader:
    """A StepLoader over the windows of a split.

    An optimizer step takes the next batch_size x accumulation x ranks windows in the order of the epoch, sorts them
    by residue count and cuts them into micro-batches. So ranks can be exchanged for accumulation: the windows of a
    step, and any sum over them, stay the same. The last step of an epoch may be short. It has fewer and smaller
    micro-batches, as even as possible.

    In one process, micro-batches without a valid target are left out, because they would add nothing. Several ranks
    must take the same number of micro-batches, so there they stay, and a rank left without windows gets a window
    whose future_step_mask is all False. Both have weight zero.
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
            batch_size: windows in a micro-batch of training.
            seed: the seed of the order of each epoch.
            eval_batch_size: windows in a batch when the loader is iterated in order. None means batch_size.
            rank, world_size: None means those of this process.

        Raises:
            EmprotError: a batch size is below 1.
        """
        self.batch_size = batch_size
        self.eval_batch_size = batch_size if eval_batch_size is None else eval_batch_size
        for name, size in {"batch_size": batch_size, "eval_batch_size": self.eval_batch_size}.items():
            if size < 1:
                raise EmprotError(f"{name} is {size}, expected at least 1 window; bind {name} to a positive number")
        self.gather, self.seed = gather, seed
        self.num_windows = len(gather.windows)
        self.rank = distributed.rank() if rank is None else rank
        self.world_size = distributed.world_size() if world_size is None else world_size

    def num_steps(self, grad_accum_steps: int) -> int:
        """Optimizer steps of one epoch."""
        return -(-self.gather.windows.epoch_size // self._windows_per_step(grad_accum_steps))

    def steps(self, epoch: int, first_step: int | Fraction, grad_accum_steps: int) -> Iterator[list[Batch]]:
        """For each optimizer step from `first_step` on, the micro-batches of this rank; equally many on every rank.

        `first_step` is a fraction if earlier steps of the epoch had another size, with another number of ranks.

        Raises:
            StoreError: an ID is out of range, or (in one process) all windows of a step lack a valid target.
        """
        windows = self.gather.windows
        order = windows.epoch_order(self.seed, epoch)
        per_step = self._windows_per_step(grad_accum_steps)
        for start in range(int(first_step * per_step), order.num_items, _STEPS_AT_ONCE * per_step):
            positions = np.arange(start, min(start + _STEPS_AT_ONCE * per_step, order.num_items))
            located = self.gather.locate(windows.numbers(order(positions)))
            step = np.arange(len(positions)) // per_step
            by_size = located.take(np.lexsort((located.residues, step)))
            for first in range(0, len(positions), per_step):
                yield self._micro_batches(by_size, first, min(first + per_step, len(positions)))

    def __len__(self) -> int:
        """Batches of one iteration on this rank. Those without a valid target are counted, although left out."""
        return -(-len(range(self.rank, self.num_windows, self.world_size)) // self.eval_batch_size)

    def __iter__(self) -> Iterator[Batch]:
        """Every window of this rank once, in the order of the data; rank r of R has the windows r, r+R, ...

        Batches without any valid target are left out.
        """
        span = self.eval_batch_size * self.world_size
        for start in range(self.rank, self.num_windows, span):
            positions = np.arange(start, min(start + span, self.num_windows), self.world_size)
            batch = self.gather(self.gather.windows.numbers(positions))
            if has_target(batch):
                yield batch

    def unsharded(self) -> "WindowLoader":
        """The loader of a single process: every rank gets every window. For counting and fitting, not training."""
        return WindowLoader(self.gather, self.batch_size, self.seed, self.eval_batch_size, rank=0, world_size=1)

    def _windows_per_step(self, grad_accum_steps: int) -> int:
        return self.batch_size * grad_accum_steps * self.world_size

    def _micro_batches(self, by_size: Located, start: int, stop: int) -> list[Batch]:
        """The micro-batches of this rank in the step that has the windows [start, stop)."""
        per_rank = -(-(stop - start) // (self.batch_size * self.world_size))
        # Neighbours in size go to different ranks, so that micro-batches that run side by side cost the same.
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
    """Cut [start, stop) into num_parts neighbouring parts. Sizes differ by at most one, and larger parts come first."""
    size, larger = divmod(stop - start, num_parts)
    ends = [start + size * part + min(part, larger) for part in range(num_parts + 1)]
    return [slice(start, stop) for start, stop in pairwise(ends)]
