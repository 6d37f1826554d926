"""The window loader beside a map-style Dataset over the same memory map, with a collate function that pads.

All give the same batches, to the bit. On a CPU in one thread, by the process's own time.
"""

import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from benchmarks.interleave import interleaved, median_ratio
from benchmarks.targets import target
from benchmarks.timing import spread
from emprot_core.batch import MISSING_ID, Batch, group_id
from emprot_core.contracts import Vocabulary
from emprot_core.data.batches import Gather
from emprot_core.data.loader import WindowLoader
from emprot_core.data.order import EpochOrder
from emprot_core.data.store import StoreWriter, TrajectoryStore
from emprot_core.data.windows import SPAN_DTYPE, Windows

BATCH, HISTORY, HORIZON, RESIDUES, CLUSTERS = 8, 10, 5, 300, 50_000
FRAMES, TRAJECTORIES = 4_000, 3
NUM_BATCHES, NUM_ROUNDS = 200, 9


class WindowDataset(Dataset[dict[str, Tensor]]):
    """One window an item, as one writes it: a slice of the memory map, made into tensors."""

    def __init__(self, store: TrajectoryStore):
        self.ids = np.load(store.directory / "ids-00000.npy", mmap_mode="r").reshape(TRAJECTORIES, FRAMES, RESIDUES)
        self.windows_each = FRAMES - HISTORY
        self.time_steps_ns = store.index["time_step_ns"].astype(np.float32)
        self.group_ids = [group_id(group) for group in store.index["group"].tolist()]

    def __len__(self) -> int:
        return TRAJECTORIES * self.windows_each

    def __getitem__(self, window: int) -> dict[str, Tensor]:
        trajectory, first = divmod(window, self.windows_each)
        last = first + HISTORY
        history = torch.from_numpy(self.ids[trajectory, first:last].astype(np.int64))
        future = torch.from_numpy(self.ids[trajectory, last : last + HORIZON].astype(np.int64))
        num_residues, num_future = history.shape[1], len(future)
        return {
            "input_cluster_ids": history,
            "times": torch.arange(1 - HISTORY, 1) * float(self.time_steps_ns[trajectory]),
            "sequence_lengths": torch.tensor(num_residues),
            "history_mask": history != MISSING_ID,
            "residue_mask": torch.ones(num_residues, dtype=torch.bool),
            "future_cluster_ids": F.pad(future, (0, 0, 0, HORIZON - num_future), value=MISSING_ID),
            "future_step_mask": torch.arange(HORIZON) < num_future,
            "window_ids": torch.tensor(window),
            "group_ids": torch.tensor(self.group_ids[trajectory]),
        }


def collate_padded(items: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """default_collate of items padded to the largest protein."""
    width = max(len(item["residue_mask"]) for item in items)
    for item in items:
        missing = width - len(item["residue_mask"])
        for key in ("input_cluster_ids", "future_cluster_ids"):
            item[key] = F.pad(item[key], (0, missing), value=MISSING_ID)
        for key in ("history_mask", "residue_mask"):
            item[key] = F.pad(item[key], (0, missing), value=False)
    return default_collate(items)


def run(device: str) -> Iterator[dict[str, Any]]:
    """A batch of the GPCR's size, which the CPU reads whatever the device; on CUDA also its way to the device."""
    yield measure()
    if device == "cuda":
        from benchmarks import prefetch  # which reads the batches of this module

        yield prefetch.measure(device)


def measure(num_batches: int = NUM_BATCHES, num_rounds: int = NUM_ROUNDS) -> dict[str, Any]:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as directory:
        forms = make_forms(Path(directory) / "store", num_batches)
        check_alike(forms)
        seconds = interleaved({name: partial(_exhaust, form) for name, form in forms.items()}, num_rounds)
    per_batch = {name: [value / num_batches for value in values] for name, values in seconds.items()}
    ratios = {
        f"WindowLoader: {name} takes": median_ratio(seconds[name], seconds["WindowLoader"])
        for name in forms
        if name != "WindowLoader"
    }
    padded = ratios["WindowLoader: Dataset + padding collate takes"]
    return {
        "name": "batch of B8 K10 F5 N300",
        "B": BATCH,
        "K": HISTORY,
        "F": HORIZON,
        "N": RESIDUES,
        "C": CLUSTERS,
        "times": {name: spread(values) for name, values in per_batch.items()},
        "ratios": ratios,
        "targets": [target("Dataset over a memory map and collate / loader", 8.0, padded, at_least=True)],
    }


def make_forms(directory: Path, num_batches: int) -> dict[str, Callable[[], Iterator[Any]]]:
    """Per form a function that gives an iterator over the batches, in one order for all."""
    random = np.random.default_rng(0)
    with StoreWriter(directory, Vocabulary("random", CLUSTERS, {})) as writer:
        for trajectory in range(TRAJECTORIES):
            ids = random.integers(-1, CLUSTERS, (FRAMES, RESIDUES))
            writer.add(f"t{trajectory}", f"g{trajectory}", ids, time_step_ns=0.25)
    store = TrajectoryStore(directory)
    spans = np.array([(i, 0, FRAMES) for i in range(TRAJECTORIES)], dtype=SPAN_DTYPE)
    windows = Windows(spans, store.index["num_frames"], HISTORY, HORIZON)
    dataset = WindowDataset(store)
    assert len(windows) == len(dataset), (len(windows), len(dataset))
    positions = np.arange(BATCH * num_batches)
    order = EpochOrder(len(windows), seed=0, epoch=0)(positions).reshape(num_batches, BATCH).tolist()
    loader = WindowLoader(Gather(store, windows), BATCH, seed=0)

    def ours() -> Iterator[Batch]:
        steps = loader.steps(0, 0, 1)
        return (next(steps)[0] for _ in order)

    return {
        "WindowLoader": ours,
        "Dataset + padding collate": lambda: (collate_padded([dataset[i] for i in batch]) for batch in order),
        "Dataset + default_collate": lambda: (default_collate([dataset[i] for i in batch]) for batch in order),
        "DataLoader, 0 workers": lambda: iter(DataLoader(dataset, batch_sampler=order, collate_fn=collate_padded)),
    }


def check_alike(forms: dict[str, Callable[[], Iterator[Any]]]) -> None:
    """Every form must give the same batches, to the bit."""
    for batches in zip(*(form() for form in forms.values()), strict=True):
        for other in batches[1:]:
            assert batches[0].keys() == other.keys()
            assert all(torch.equal(batches[0][key], other[key]) for key in other)
            assert all(batches[0][key].dtype == other[key].dtype for key in other)


def _exhaust(form: Callable[[], Iterator[Any]]) -> None:
    for _ in form():
        pass
