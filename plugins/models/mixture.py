"""The weighted sum of the parts of experts, as one distribution over all classes."""

from collections.abc import Sequence

import torch
from einops import einsum, rearrange
from torch import Tensor
from torch.nn import functional

from emprot_core.contracts import Opinion, Rows

from .past import BatchPast

_LEAST_UNIGRAM = 1e-6  # of the class frequencies, so that a class that no expert knows is not impossible


def mix(gates: Tensor, opinions: Sequence[Opinion], past: BatchPast) -> Tensor:
    """sum_i g_i p_i(y), (B, F, N, C). What parts leave of 1 on the slots goes to the class frequencies U.

    Args:
        gates: (B, F, N, P), in the order of the experts; within one, its parts on slots before its rows.
    """
    num_windows, horizon, num_residues, _ = gates.shape
    on_slots, left = gates.new_zeros(()), gates.new_zeros(())
    rows, shares = [], []
    at = 0
    for opinion in opinions:
        if opinion.on_slots is not None:
            parts = opinion.on_slots.expand(-1, horizon, -1, -1, -1)
            own = gates[..., at : at + parts.shape[-2]]
            at += parts.shape[-2]
            on_slots = on_slots + einsum(own, parts, "b f n p, b f n p k -> b f n k")
            rest = (1 - parts.sum(-1)).clamp_min(0)  # rounding may leave less than nothing
            left = left + einsum(own, rest, "b f n p, b f n p -> b f n")
        for each in opinion.rows:
            rows.append(each)
            shares.append(gates[..., at])
            at += 1
    windows = torch.arange(num_windows, device=gates.device)[:, None, None]
    rows.append(Rows(past.unigram, windows.expand(-1, horizon, num_residues)))
    shares.append((left + _LEAST_UNIGRAM).expand(num_windows, horizon, num_residues))
    mixture = _add_rows(rows, torch.stack(shares, dim=-1))
    if on_slots.ndim:
        places = rearrange(past.slots.clamp_min(0), "b n k -> b 1 n k").expand_as(on_slots)
        mixture = mixture.scatter_add(-1, places, on_slots)
    return mixture


def num_parts(opinion: Opinion) -> int:
    """How many gates the parts of an expert need."""
    return len(opinion.rows) + (0 if opinion.on_slots is None else opinion.on_slots.shape[-2])


def _add_rows(rows: Sequence[Rows], shares: Tensor) -> Tensor:
    """sum_w shares_w rows_w, (B, F, N, C), shares being (B, F, N, W), without holding each row at each position."""
    sizes = [len(each.values) for each in rows]
    firsts = [sum(sizes[:index]) for index in range(len(rows))]
    places = torch.stack([first + each.of for first, each in zip(firsts, rows, strict=True)], dim=-1)
    values = torch.cat([each.values for each in rows])
    places, weights = places.flatten(0, 2), shares.flatten(0, 2)
    added = functional.embedding_bag(places, values, per_sample_weights=weights, mode="sum")
    return added.view(*shares.shape[:3], values.shape[1])
