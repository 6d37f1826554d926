"""The past of a batch, as experts read it (contracts.Past), computed once for all of them."""

import torch
from einops import rearrange, reduce, repeat
from torch import Tensor

from emprot_core.batch import MISSING_ID
from emprot_core.contracts import LastIDs, Rows

from .transition_tables import TransitionTables

NUM_ACTIVITIES = 4
_NO_ID = -2  # equals no ID, not even a missing one
_SLOT_RATE, _SLOT_FLOOR = 0.95, 0.001  # a class weighs the sum of .95^age + .001 over the frames that show it
_SLOT_UNIT = 1 << 32


class BatchPast:
    """What contracts.Past says, of one batch."""

    def __init__(
        self,
        input_cluster_ids: Tensor,
        history_mask: Tensor,
        left_out: Tensor | None,
        tables: TransitionTables,
        horizon: int,
        num_slots: int,
    ):
        """
        Args:
            input_cluster_ids, history_mask: (B, T, N) as in a batch.
            left_out: (B,) long, or None.
        """
        ids = torch.where(history_mask, input_cluster_ids, MISSING_ID)
        self.ids = rearrange(ids, "b t n -> b n t").contiguous()
        num_windows, _, num_frames = self.ids.shape
        self.dtype = tables.entry_counts.dtype
        self.ages = torch.arange(num_frames - 1, -1, -1, device=ids.device, dtype=self.dtype)
        self.horizon, self.num_clusters = horizon, tables.num_clusters
        self._left_out = ids.new_full((num_windows,), -1) if left_out is None else left_out
        self._tables = tables
        self.unigram = tables.unigram(self._left_out)
        self.slots = _heaviest(self.ids, self.ages, num_slots)
        last = self.ids[..., -1:]
        self._is_last = (self.slots == last) & (last != MISSING_ID)
        self._shows = _shows(self.slots, self.ids, self.dtype)
        self._last_ids: dict[int, LastIDs] = {}
        self._pooled: dict[int, Rows] = {}

    @property
    def unigram_on_slots(self) -> Tensor:
        places = rearrange(self.slots.clamp_min(0), "b n k -> b (n k)")
        values = rearrange(self.unigram.gather(1, places), "b (n k) -> b n k", k=self.slots.shape[-1])
        return torch.where(self.slots == MISSING_ID, 0.0, values)

    def on_slots(self, weights: Tensor) -> Tensor:
        return self._shows @ weights

    def at_last(self, on_slots: Tensor) -> Tensor:
        is_last = self._is_last if on_slots.ndim == self._is_last.ndim else self._is_last[:, None]
        return reduce(on_slots * is_last, "... k -> ...", "sum")

    def last_ids(self, back: int) -> LastIDs:
        if back not in self._last_ids:
            num_windows, _, num_frames = self.ids.shape
            ids = self.ids[..., -1 - back] if back < num_frames else torch.full_like(self.ids[..., 0], MISSING_ID)
            windows = torch.arange(num_windows, device=ids.device)[:, None]
            keys, of = torch.unique(windows * (self.num_clusters + 1) + ids + 1, return_inverse=True)
            window, ids = keys // (self.num_clusters + 1), keys % (self.num_clusters + 1) - 1
            self._last_ids[back] = LastIDs(window, ids, of)
        return self._last_ids[back]

    def pooled(self, back: int) -> Rows:
        if back not in self._pooled:
            last = self.last_ids(back)
            steps = torch.arange(self.horizon, device=last.of.device)
            lags = repeat(steps + 1 + back, "f -> (f q)", q=len(last.ids))
            before = repeat(last.ids, "q -> (f q)", f=self.horizon)
            window = repeat(last.window, "q -> (f q)", f=self.horizon)
            counts = self._tables.counts(lags, before, self._left_out[window])
            total = counts.sum(-1, keepdim=True)
            rows = rearrange(counts, "(f q) c -> f q c", f=self.horizon)
            rows.add_(self.unigram[last.window])  # in place: rows may be as large as the logits
            of = rearrange(last.of, "b n -> b 1 n") + rearrange(steps * len(last.ids), "f -> 1 f 1")
            self._pooled[back] = Rows(counts.div_(total + 1), of)
        return self._pooled[back]

    def activity(self) -> Tensor:
        """(B, 1, N, 4): how much is known of each residue, how long it has stayed and how often it changed lately.

        log1p(frames known) / 5; log(length of the run of x[t]) / 3; the share of changes in the last 9 and 49 steps.
        """
        known = self.ids != MISSING_ID
        last = self.ids[..., -1:]
        run = ((self.ids == last) & (last != MISSING_ID)).flip(-1).long().cumprod(-1).sum(-1)
        steps = known[..., 1:] & known[..., :-1]
        changes = steps & (self.ids[..., 1:] != self.ids[..., :-1])
        recent = [each[..., -n:].sum(-1) for n in (9, 49) for each in (changes, steps)]
        num_known, length, *rest = torch.stack([known.sum(-1), run.clamp_min(1), *recent]).to(self.dtype)
        rates = [rest[0] / rest[1].clamp_min(1), rest[2] / rest[3].clamp_min(1)]
        numbers = torch.stack([num_known.log1p() / 5, length.log() / 3, *rates], dim=-1)
        return rearrange(numbers, "b n s -> b 1 n s")


def _heaviest(ids: Tensor, ages: Tensor, num_slots: int) -> Tensor:
    """(B, N, K): the K classes of most weight in the IDs (B, N, T), MISSING_ID where there are fewer.

    In a sorted past equal IDs lie next to each other, so that sums over them need no array of the size of C.
    Weights are whole numbers, so that the sums are exact.
    """
    ids, order = ids.sort(dim=-1, stable=True)
    weights = ((_SLOT_RATE**ages + _SLOT_FLOOR) * _SLOT_UNIT).long()[order]
    so_far = torch.where(ids == MISSING_ID, 0, weights).cumsum(-1)
    is_end = ids != torch.cat([ids[..., 1:], torch.full_like(ids[..., :1], MISSING_ID)], dim=-1)
    ends = torch.where(is_end, so_far, 0).cummax(-1).values
    before = torch.cat([torch.zeros_like(ends[..., :1]), ends[..., :-1]], dim=-1)
    heaviest = torch.where(is_end, so_far - before, 0).topk(min(num_slots, ids.shape[-1]), dim=-1)
    return torch.where(heaviest.values > 0, ids.gather(-1, heaviest.indices), MISSING_ID)


def _shows(slots: Tensor, ids: Tensor, dtype: torch.dtype) -> Tensor:
    """(B, N, K, T): 1 where a frame shows the class of a slot."""
    wanted = slots.masked_fill(slots == MISSING_ID, _NO_ID)
    # Comparing floats into a float tensor takes a tenth of the time of a comparison of longs and a conversion.
    classes, shown = rearrange(wanted, "b n k -> b n k 1").float(), rearrange(ids, "b n t -> b n 1 t").float()
    result = torch.empty(*slots.shape, ids.shape[-1], device=ids.device, dtype=dtype)
    return torch.eq(classes, shown, out=result)
