"""Gated experts written once more, slowly: float64 loops over residues, from the formula in docs/experts.md."""

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from small_stores import CLUSTERS, make_data

from emprot_core import registry
from emprot_core.batch import Batch

MISSING = -1
RATES = (0.5, 0.75, 0.88, 0.95, 0.985, 1.0)
EXPERTS = ("Caches", "OwnRows", "PooledTables", "WindowTable")


def data_of(store: str, **options: Any):
    """Windows with a past over a small store with missing IDs, H = 3."""
    return make_data(store, **{"past": 12, "batch_size": 3, **options})


def model_of(data, names=EXPERTS, seed: int = 0, **options: Any):
    """A float64 model with tables of the training and gates of random weights, in evaluation mode."""
    torch.manual_seed(seed)
    experts = [registry.get("expert", name)() for name in names]
    model = registry.get("model", "GatedExperts")(CLUSTERS, 3, experts, **options).double()
    model.use_transitions(data.transitions(model.max_lag), list(data.all_windows("train")))
    torch.nn.init.normal_(model.gates.weight)
    return model.eval()


def run(model, batch: Batch, **changes: Any) -> dict[str, torch.Tensor]:
    inputs = {**batch, **changes}
    with torch.no_grad():
        return model(
            inputs["input_cluster_ids"], inputs.get("times"), inputs["sequence_lengths"], inputs["history_mask"],
            state=inputs.get("state"), left_out=inputs.get("left_out"),
        )  # fmt: skip


class Window(NamedTuple):
    """One window of a batch and what was counted in training."""

    ids: np.ndarray  # (T, N), MISSING where unknown
    counts: dict[tuple[int, int], np.ndarray]  # (lag, earlier ID) -> (C,), without the part that is left out
    unigram: np.ndarray  # (C,)
    num_slots: int

    def pooled(self, lag: int, before: int) -> np.ndarray:
        """P_lag(y | before)."""
        counts = self.counts.get((lag, before), np.zeros(CLUSTERS))
        return (counts + self.unigram) / (counts.sum() + 1)

    def slots(self, residue: int) -> np.ndarray:
        """The classes of most weight, at most num_slots."""
        weights = np.zeros(CLUSTERS)
        for age, shown in enumerate(self.ids[::-1, residue].tolist()):
            if shown != MISSING:
                weights[shown] += 0.95**age + 0.001
        return np.argsort(-weights, kind="stable")[: min(self.num_slots, np.count_nonzero(weights))]

    def spread(self, residue: int, part: np.ndarray) -> np.ndarray:
        """The probabilities of a part (C,) on the slots; what they leave of 1 goes to the unigram."""
        kept = np.zeros(CLUSTERS)
        slots = self.slots(residue)
        kept[slots] = part[slots]
        return kept + max(0.0, 1 - kept.sum()) * self.unigram


def windows_of(batch: Batch, transitions, num_slots: int = CLUSTERS) -> list[Window]:
    ids = torch.where(batch["history_mask"], batch["input_cluster_ids"], MISSING).numpy()
    left_out = batch["left_out"].tolist() if "left_out" in batch else [MISSING] * len(ids)
    found = []
    for frames, part in zip(ids, left_out, strict=True):
        counts: dict[tuple[int, int], np.ndarray] = {}
        seen = np.zeros(CLUSTERS)
        for number, lag, before, after, count in zip(*(column.tolist() for column in transitions), strict=True):
            if number != part:
                counts.setdefault((lag, before), np.zeros(CLUSTERS))[after] += count
                seen[after] += count * (lag == 1)
        found.append(Window(frames, counts, (seen + 0.5) / (seen + 0.5).sum(), num_slots))
    return found


def caches(window: Window, residue: int, step: int) -> tuple[list[np.ndarray], list[float]]:
    ids, parts = window.ids[:, residue], []
    for rate in RATES:
        sums = np.zeros(CLUSTERS)
        for age, shown in enumerate(ids[::-1].tolist()):
            if shown != MISSING:
                sums[shown] += rate**age
        parts.append(sums / sums.sum() if sums.sum() else sums)
    slots, last = window.slots(residue), ids[-1]
    kept = [part[slots] for part in parts]
    of_last = [part[last] if last in slots else 0.0 for part in parts]
    largest = [part.max(initial=0.0) for part in kept]
    entropy = -sum(p * np.log(p) for p in kept[3] if p > 0) / 3
    return [window.spread(residue, part) for part in parts], [*largest, *of_last, entropy]


def own_rows(window: Window, residue: int, step: int) -> tuple[list[np.ndarray], list[float]]:
    ids = window.ids[:, residue].tolist()
    num_frames = len(ids)
    occupancy, cache = np.zeros(CLUSTERS), np.zeros(CLUSTERS)
    for frame, shown in enumerate(ids):
        if shown != MISSING:
            occupancy[shown] += 1
            cache[shown] += 0.985 ** (num_frames - 1 - frame)
    occupancy = (occupancy + 5 * window.unigram) / (occupancy.sum() + 5)
    cache = cache / cache.sum() if cache.sum() else cache
    counts = np.zeros((3, CLUSTERS))
    for start in range(num_frames - step):
        end = start + step
        if MISSING in (ids[start], ids[end]) or ids[start] != ids[-1]:
            continue
        counts[0, ids[end]] += 1
        counts[1, ids[end]] += 0.985 ** (num_frames - 1 - end)
        if start > 0 and ids[start - 1] == ids[-2] != MISSING:
            counts[2, ids[end]] += 1
    n = counts.sum(axis=1)
    row = (counts[0] + 2 * occupancy) / (n[0] + 2)
    decayed = (counts[1] + 2 * cache) / (n[1] + 2)
    second = (counts[2] + 2 * row) / (n[2] + 2)
    at_last = row[ids[-1]] if ids[-1] in window.slots(residue) else 0.0
    return [window.spread(residue, part) for part in (row, decayed, second)], [np.log1p(n[0]) / 3, at_last]


def pooled_tables(window: Window, residue: int, step: int) -> tuple[list[np.ndarray], list[float]]:
    last, before = window.ids[-1, residue], window.ids[-2, residue]
    now = window.pooled(step, last)
    return [now, window.pooled(step + 1, before)], [now[last] if last != MISSING else 0.0]


def window_table(window: Window, residue: int, step: int) -> tuple[list[np.ndarray], list[float]]:
    last = window.ids[-1, residue]
    counts = np.zeros(CLUSTERS)
    for start in range(len(window.ids) - step):
        for earlier, later in zip(window.ids[start].tolist(), window.ids[start + step].tolist(), strict=True):
            if earlier == last != MISSING and later != MISSING:
                counts[later] += 1
    row = (counts + 4 * window.pooled(step, last)) / (counts.sum() + 4)
    return [row], [np.log1p(counts.sum()) / 6, row[last] if last != MISSING else 0.0]


TWINS = {"Caches": caches, "OwnRows": own_rows, "PooledTables": pooled_tables, "WindowTable": window_table}


def activity(window: Window, residue: int) -> list[float]:
    ids = window.ids[:, residue].tolist()
    length = 0
    while length < len(ids) and ids[-1] != MISSING and ids[-1 - length] == ids[-1]:
        length += 1
    numbers = [np.log1p(sum(shown != MISSING for shown in ids)) / 5, np.log(max(1, length)) / 3]
    for most in (9, 49):
        recent = ids[-1 - most :]
        steps = [(a, b) for a, b in pairwise(recent) if MISSING not in (a, b)]
        numbers.append(sum(a != b for a, b in steps) / max(1, len(steps)))
    return numbers


def mixture(model, window: Window, names=EXPERTS) -> np.ndarray:
    """(F, N, C): the logits of one window, without a dense part."""
    gates = {name: value.detach().numpy() for name, value in model.gates.state_dict().items()}
    logits = np.zeros((3, window.ids.shape[1], CLUSTERS))
    for step in range(3):
        for residue in range(window.ids.shape[1]):
            opinions = [TWINS[name](window, residue, step + 1) for name in names]
            z = np.array(activity(window, residue) + [number for _, numbers in opinions for number in numbers])
            z = (z - gates["mean"]) / gates["deviation"]
            layer = gates["hidden.weight"] @ z + gates["hidden.bias"]
            hidden = torch.nn.functional.gelu(torch.from_numpy(layer)).numpy()
            scores = gates["weight"][step] @ hidden + gates["bias"][step]
            shares = np.exp(scores - scores.max())
            parts = np.array([part for own, _ in opinions for part in own])
            logits[step, residue] = np.log(shares / shares.sum() @ parts + 1e-6 * window.unigram)
    return logits
