"""What the ranks of tests/runs/test_distributed.py run: functions called in each of them, in a common directory."""

import json
import os
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from emprot_core import registry
from emprot_core.batch import target_mask
from emprot_core.contracts import Vocabulary
from emprot_core.data.batches import Gather
from emprot_core.data.loader import WindowLoader
from emprot_core.data.store import StoreWriter, TrajectoryStore
from emprot_core.data.windows import SPAN_DTYPE, Windows
from emprot_core.distributed import barrier, gather, process_group, rank, until_all_ranks_end, world_size
from emprot_core.hooks.base import Hook, RunInfo
from emprot_core.training import Trainer
from emprot_core.training.loop import score

CLUSTERS, HISTORY, HORIZON = 9, 3, 2


def make_store(directory: Path, gaps: bool = True) -> None:
    """102 windows of proteins of 4, 2 and 9 residues. Gaps: a third of the IDs is missing, some windows have none."""
    generator = np.random.default_rng(0)
    with StoreWriter(directory, Vocabulary("test", CLUSTERS, {})) as writer:
        for number, (frames, residues) in enumerate([(43, 4), (28, 2), (40, 9)]):
            ids = generator.integers(0, CLUSTERS, (frames, residues))
            if gaps:
                ids[generator.random(ids.shape) < 0.3] = -1
                ids[-12:] = -1
            writer.add(f"t{number}", f"g{number}", ids)


def open_gather(directory: Path) -> Gather:
    store = TrajectoryStore(directory)
    spans = [(number, 0, frames) for number, frames in enumerate(store.index["num_frames"].tolist())]
    windows = Windows(np.array(spans, dtype=SPAN_DTYPE), store.index["num_frames"], HISTORY, HORIZON)
    return Gather(store, windows)


def shared_gather(gaps: bool = True) -> Gather:
    """A store for all ranks, that rank 0 writes."""
    if rank() == 0 and not Path("store").exists():
        make_store(Path("store"), gaps)
    barrier()
    return open_gather(Path("store"))


class Record(Hook):
    """Keeps the losses of every step, and its windows that have a target, over all ranks."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.windows: list[list[int]] = []

    def on_backward_end(self, trainer) -> None:
        counted = [batch["window_ids"][target_mask(batch).any(dim=(1, 2))] for batch in trainer.micro_batches]
        self.windows.append(sorted(chain(*gather(torch.cat(counted).tolist()))))

    def on_step_end(self, trainer) -> None:
        self.losses.append(trainer.logs["train/total_loss"])


def make_trainer(*hooks: Hook, dtype: torch.dtype, dropout: float = 0.0, **options: Any) -> Trainer:
    torch.manual_seed(0)
    model = registry.get("model", "ProteinTransformerClassificationOnly")(
        d_embed=16, num_heads=2, num_layers=1, future_horizon=HORIZON, num_clusters=CLUSTERS, dropout=dropout
    )
    return Trainer(
        model.to(dtype),
        registry.get("loss", "MaskedCrossEntropy")(class_weights=[1.0, 2.0, 0.5, 1, 1, 1, 1, 3, 1]),
        lambda named: registry.get("optimizer", "adamw")(named, learning_rate=3e-3),
        registry.get("scheduler", "cosine_with_warmup"),
        metrics=[registry.get("metric", "TokenAccuracy")()],
        hooks=[*hooks, registry.get("hook", "ClipGradients")()],
        log_every_steps=1,
        **options,
    )


def train_50_steps() -> None:
    """Four micro-batches a step, whatever the ranks: float64 weights, float32 losses, and the windows."""
    with process_group(torch.device("cpu")):
        results = {}
        for dtype in (torch.float64, torch.float32):
            record = Record()
            trainer = make_trainer(record, dtype=dtype, grad_accum_steps=4 // world_size(), max_steps=50, max_epochs=50)
            loader = WindowLoader(shared_gather(), batch_size=4)
            trainer.fit(loader, WindowLoader(shared_gather(), batch_size=7))
            results[str(dtype)] = {
                "weights": torch.cat([p.detach().flatten() for p in trainer.model.parameters()]),
                "losses": record.losses, "windows": record.windows, "val": trainer.val_logs,
            }  # fmt: skip
        torch.save(results, f"rank{rank()}.pt")


class StopAt(Hook):
    def __init__(self, step: int | None):
        self.step = step

    def on_step_end(self, trainer) -> None:
        if trainer.step == self.step and rank() == world_size() - 1:  # one rank is enough
            trainer.request_stop("asked to", exit_status=130)


def train_and_change_ranks() -> None:
    """Steps up to STOP_AT, or all, on from state.pt if it exists. The windows go to windows<n>.json, n = 0, 1, ..."""
    with process_group(torch.device("cpu")):
        goes_on = Path("state.pt").exists()
        record = Record()
        last = int(os.environ["STOP_AT"]) if "STOP_AT" in os.environ else None
        trainer = make_trainer(record, StopAt(last), dtype=torch.float32, dropout=0.1, max_epochs=2)
        if goes_on:
            trainer.load_state_dict(torch.load("state.pt", weights_only=True))
        trainer.fit(WindowLoader(shared_gather(gaps=False), batch_size=2))
        state = trainer.state_dict()
        if rank() == 0:
            start = len(list(Path().glob("windows*.json")))
            Path(f"windows{start}.json").write_text(json.dumps([record.windows, trainer.total_steps]))
            torch.save(state, "state.pt")
        assert len(set(gather(float(torch.rand(()))))) == world_size()  # each draws its own dropout


def validate_unevenly() -> None:
    """Two batches on rank 0, none on the others; then a train loader that is shorter on one rank."""
    with process_group(torch.device("cpu")):
        batches = list(WindowLoader(shared_gather(), batch_size=4, rank=0, world_size=1))[:2]
        trainer = make_trainer(dtype=torch.float64)
        logs = trainer.validate(batches if rank() == 0 else [])
        alone = make_trainer(dtype=torch.float64)
        sums = sum(float(terms["token_ce"][0]) for terms in score(alone, batches))
        weight = sum(float(terms["token_ce"][1]) for terms in score(alone, batches))
        assert abs(logs["val/token_ce"] - sums / weight) < 1e-12
        assert len(list(until_all_ranks_end(range(rank())))) == world_size() - 1
        with pytest.raises(ValueError, match="fewer optimizer steps than that of another"):
            trainer.fit(batches[: 1 + rank()])
        blank = [{**batches[0], "future_step_mask": torch.zeros_like(batches[0]["future_step_mask"])}]
        make_trainer(dtype=torch.float64).fit(batches[:1] if rank() == 0 else blank)
        with pytest.raises(ValueError, match="the optimizer step has no valid target"):
            make_trainer(dtype=torch.float64).fit(blank)


def skip_a_poisoned_step() -> None:
    """One rank's gradient is NaN: the step is withheld on all, and the windows of all are named."""

    class Poison(Hook):
        def on_fit_start(self, trainer) -> None:
            trainer.model.output_bias.register_hook(
                lambda gradient: gradient * (float("nan") if trainer.step == 1 and rank() == 1 else 1.0)
            )

    with process_group(torch.device("cpu")):
        non_finite, record = registry.get("hook", "NonFinite")(max_skips=1), Record()
        trainer = make_trainer(Poison(), non_finite, record, dtype=torch.float32, max_steps=3)
        trainer.attach(RunInfo())
        trainer.fit(WindowLoader(shared_gather(), batch_size=4))
        assert non_finite.withheld[0]["step"] == 2
        assert set(non_finite.withheld[0]["window_ids"]) >= set(record.windows[1])
        weights = torch.cat([p.detach().flatten() for p in trainer.model.parameters()])
        assert bool(weights.isfinite().all())
        assert len({float(each.sum()) for each in gather(weights)}) == 1
