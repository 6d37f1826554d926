"""Tables of the training transitions, of which each window can leave a part out. Only pairs seen take memory."""

from typing import Any

import torch
from torch import Tensor, nn

from emprot_core.batch import MISSING_ID
from emprot_core.contracts import Transitions

_UNIGRAM = 0  # the lag under which how often each class is a later ID is kept
_UNIGRAM_PRIOR = 0.5


class TransitionTables(nn.Module):
    """Sparse counts by part, lag and earlier ID, beside the sums over all parts. They are part of the model's state.

    A row is a run of entries (later ID, count). Its key is (part, lag, earlier ID), the part being 0 for the sum over
    all parts and else 1 + its place among the sorted numbers of the parts.
    """

    part_numbers: Tensor  # (P,) long, ascending
    row_keys: Tensor  # (R,) long, ascending
    row_starts: Tensor  # (R + 1,) long: where the entries of each row begin
    entry_ids: Tensor  # (E,) int32, the later ID
    entry_counts: Tensor  # (E,) float32

    def __init__(self, num_clusters: int, max_lag: int):
        super().__init__()
        self.num_clusters, self.max_lag = num_clusters, max_lag
        dtypes = {"part_numbers": torch.long, "row_keys": torch.long, "row_starts": torch.long}
        for name, dtype in (dtypes | {"entry_ids": torch.int32, "entry_counts": torch.float32}).items():
            self.register_buffer(name, torch.zeros(0, dtype=dtype))

    @property
    def is_empty(self) -> bool:
        """Whether the tables were never filled; tables of no transition are none of these."""
        return not len(self.row_starts)

    def fill(self, transitions: Transitions) -> None:
        """Replace the tables by those of these transitions."""
        self.part_numbers, part = torch.unique(transitions.part, return_inverse=True)
        is_next = transitions.lag == 1
        unigram = torch.stack([part, torch.full_like(part, _UNIGRAM), torch.zeros_like(part), transitions.after])
        labels = torch.stack([part, transitions.lag, transitions.before, transitions.after])
        labels = torch.cat([labels, unigram[:, is_next]], dim=1)
        counts = torch.cat([transitions.counts, transitions.counts[is_next]])
        labels[0] += 1
        of_all = labels.clone()
        of_all[0] = 0
        labels, counts = torch.cat([of_all, labels], dim=1), torch.cat([counts, counts])
        keys, place = torch.unique(self._key(*labels[:3]) * self.num_clusters + labels[3], return_inverse=True)
        device = self.row_keys.device
        sums = torch.zeros(len(keys), dtype=torch.long).index_add_(0, place, counts)
        self.entry_counts = sums.to(device, self.entry_counts.dtype)
        self.entry_ids = (keys % self.num_clusters).int().to(device)
        rows, sizes = torch.unique_consecutive(keys // self.num_clusters, return_counts=True)
        self.row_keys, self.part_numbers = rows.to(device), self.part_numbers.to(device)
        self.row_starts = torch.cat([sizes.new_zeros(1), sizes.cumsum(0)]).to(device)

    def counts(self, lag: Tensor | int, before: Tensor, left_out: Tensor) -> Tensor:
        """(Q, C): how often each class followed the IDs `before` (Q,) after `lag` frames; 0 for MISSING_ID.

        Args:
            lag: one for all, or (Q,) long.
            left_out: (Q,) long, the number of the part that is left out; one that is unknown leaves nothing out.
        """
        dense = torch.zeros(len(before) * self.num_clusters, device=before.device, dtype=self.entry_counts.dtype)
        is_known = before != MISSING_ID
        self._add_rows(dense, self._key(torch.zeros_like(before), lag, before), is_known, 1.0)
        if len(self.part_numbers):
            place = torch.searchsorted(self.part_numbers, left_out).clamp_max(len(self.part_numbers) - 1)
            is_part = self.part_numbers[place] == left_out
            self._add_rows(dense, self._key(place + 1, lag, before), is_known & is_part, -1.0)
        return dense.view(len(before), self.num_clusters)

    def unigram(self, left_out: Tensor) -> Tensor:
        """(Q, C): the frequency of each class in training, (count + .5) normalised, without the parts left_out (Q,)."""
        counts = self.counts(_UNIGRAM, torch.zeros_like(left_out), left_out) + _UNIGRAM_PRIOR
        return counts / counts.sum(-1, keepdim=True)

    def _key(self, part: Tensor, lag: Tensor | int, before: Tensor) -> Tensor:
        return (part * (self.max_lag + 1) + lag) * self.num_clusters + before

    def _add_rows(self, dense: Tensor, keys: Tensor, is_wanted: Tensor, sign: float) -> None:
        """Add sign x the row of each key (Q,) to dense (Q * C,). A row has an ID once, so no two sums meet."""
        if not len(self.row_keys):
            return
        row = torch.searchsorted(self.row_keys, keys).clamp_max(len(self.row_keys) - 1)
        is_found = is_wanted & (self.row_keys[row] == keys)
        starts = self.row_starts[row]
        sizes = torch.where(is_found, self.row_starts[row + 1] - starts, 0)
        query = torch.repeat_interleave(sizes)
        entry = torch.arange(len(query), device=keys.device) + (starts - sizes.cumsum(0) + sizes)[query]
        places = query * self.num_clusters + self.entry_ids[entry]
        dense.index_add_(0, places, self.entry_counts[entry], alpha=sign)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Take the sizes of the tables from the state: they depend on the training data."""
        for name, table in self.named_buffers(recurse=False):
            loaded = state_dict.get(prefix + name)
            if isinstance(loaded, Tensor) and loaded.ndim == 1:
                setattr(self, name, table.new_empty(loaded.shape))
        super()._load_from_state_dict(state_dict, prefix, *rest)
