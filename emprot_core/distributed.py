"""Which process this is, and the few reductions that ranks share. One process is world size 1."""

import torch
import torch.distributed as dist
from torch import Tensor


def is_distributed() -> bool:
    return dist.is_available() and dist.is_initialized()


def rank() -> int:
    return dist.get_rank() if is_distributed() else 0


def world_size() -> int:
    return dist.get_world_size() if is_distributed() else 1


def sum_over_ranks(values: Tensor) -> Tensor:
    """The elementwise sum over all ranks; the tensor itself where there is one."""
    if is_distributed():
        values = values.clone()
        dist.all_reduce(values)
    return values


def any_rank(flag: bool) -> bool:
    """Whether the flag is set on any rank."""
    return bool(sum_over_ranks(torch.tensor(int(flag))).item()) if is_distributed() else flag
