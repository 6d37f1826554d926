"""Which rank this process is, and what ranks exchange. A single process has world size 1 and exchanges nothing.

torchrun starts the ranks. CPU tensors travel by gloo and CUDA tensors by NCCL, so that exchanging a flag never makes a
device wait. All ranks must call the functions here that exchange something, in the same order.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from emprot_core.errors import EmprotError

TIMEOUT = timedelta(minutes=10)
"""How long a rank waits for the others before it gives up: longer than any checkpoint takes to write."""
CONNECT_TIMEOUT = timedelta(minutes=2)
"""How long the ranks wait for each other at the start."""

Item = TypeVar("Item")


class RankLost(ConnectionError):
    """Another rank died or hangs. The rank that failed first says why."""


@contextmanager
def process_group(device: torch.device) -> Iterator[None]:
    """Connects the ranks that torchrun started (WORLD_SIZE in the environment) for the length of a with block.

    Ranks leave the block together, so that torchrun does not end a rank that is still writing.

    Raises:
        RankLost: another rank did not connect, or was lost.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    with _naming_a_lost_rank():
        met = dist.rendezvous("env://", timeout=CONNECT_TIMEOUT)  # type: ignore[attr-defined]
        store, own, number = next(iter(met))
        # When torchrun starts the ranks again, its store still holds the addresses of those that died.
        start = f"start-{os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}"
        store = dist.PrefixStore(start, store)  # type: ignore[attr-defined]
        store.set(f"here-{own}", "")
        store.wait([f"here-{each}" for each in range(number)], CONNECT_TIMEOUT)
        backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
        dist.init_process_group(backend, timeout=TIMEOUT, store=store, rank=own, world_size=number)
    try:
        yield
        barrier()
    finally:
        dist.destroy_process_group()


def find_device(name: str, parameter: str) -> torch.device:
    """The device of this process. Each rank on a machine takes the CUDA device with its local number.

    Args:
        name: "auto" (CUDA where there is one), "cpu", "cuda", "cuda:1", ...
        parameter: the parameter that gave the name, for the message of an error.

    Raises:
        EmprotError: there is no such device.
    """
    if name in ("auto", "cuda"):
        name = f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if torch.cuda.is_available() or name == "cuda" else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise EmprotError(f'{parameter} is {name!r}, expected "auto", "cpu", "cuda" or "cuda:<number>"') from None
    if device.type == "cuda":
        if (device.index or 0) >= torch.cuda.device_count():
            raise EmprotError(
                f"{parameter} is {name!r}, but torch finds {torch.cuda.device_count()} CUDA devices here; use "
                '"auto" or "cpu", or start at most one rank for each device'
            )
        torch.cuda.set_device(device)
    return device


def is_distributed() -> bool:
    return dist.is_available() and dist.is_initialized()


def rank() -> int:
    return dist.get_rank() if is_distributed() else 0


def world_size() -> int:
    return dist.get_world_size() if is_distributed() else 1


def sum_over_ranks(values: Tensor) -> Tensor:
    """The elementwise sum over all ranks. With one rank it is the tensor itself."""
    if is_distributed():
        values = values.clone()
        with _naming_a_lost_rank():
            dist.all_reduce(values)
    return values


def sum_each_over_ranks(tensors: list[Tensor]) -> list[Tensor]:
    """The sum of each tensor over all ranks, in one reduction for each dtype. With one rank the tensors themselves."""
    if not is_distributed():
        return tensors
    sums = list(tensors)
    for dtype in dict.fromkeys(tensor.dtype for tensor in tensors):
        places = [place for place, tensor in enumerate(tensors) if tensor.dtype == dtype]
        packed = sum_over_ranks(torch.cat([tensors[place].flatten() for place in places]))
        for place, part in zip(places, packed.split([tensors[place].numel() for place in places]), strict=True):
            sums[place] = part.view_as(tensors[place])
    return sums


def max_over_ranks(values: Sequence[int]) -> list[int]:
    """The elementwise maximum over all ranks, exchanged on the CPU."""
    if not is_distributed():
        return list(values)
    largest = torch.tensor(values)
    with _naming_a_lost_rank():
        dist.all_reduce(largest, op=dist.ReduceOp.MAX)
    return largest.tolist()


def any_rank(flag: bool) -> bool:
    """Whether the flag is set on any rank."""
    return bool(max_over_ranks([int(flag)])[0])


def barrier() -> None:
    """Wait until every rank is here."""
    max_over_ranks([0])


def gather(value: Any) -> list[Any]:
    """The values of all ranks in the order of ranks, given to every rank."""
    if not is_distributed():
        return [value]
    values = [None] * world_size()
    with _naming_a_lost_rank():
        dist.all_gather_object(values, value)
    return values


def copy_from_rank_0(tensors: Iterable[Tensor]) -> None:
    """Overwrite the tensors with the values that they have on rank 0."""
    if is_distributed():
        for tensor in tensors:
            with _naming_a_lost_rank():
                dist.broadcast(tensor, 0)


def until_all_ranks_end(items: Iterable[Item]) -> Iterator[Item | None]:
    """Yield this rank's items, then None until the slowest rank is done, so that all ranks iterate equally often."""
    iterator = iter(items)
    while True:
        item = next(iterator, None)
        if not any_rank(item is not None):
            return
        yield item


@contextmanager
def _naming_a_lost_rank() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # what gloo and NCCL raise when a peer is gone, or late
        raise RankLost(
            f"rank {os.environ.get('RANK')} lost touch with another one ({str(error).splitlines()[0]}); the rank that "
            "failed first says why; the same command goes on from the newest checkpoint"
        ) from error
