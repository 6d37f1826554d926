"""Forward, backward and optimizer of the real model, at the sizes of a small protein and of a GPCR."""

from dataclasses import asdict, dataclass
from typing import Any

import torch

from benchmarks.timing import in_fresh_process, peak_memory_mb, time_ms
from emprot_core import registry
from emprot_core.batch import Batch, move_batch
from emprot_core.training.forward_loss import ForwardLoss


@dataclass(frozen=True)
class Case:
    """Sizes of a step (the letters of emprot_core.batch) and of the model."""

    name: str
    B: int
    K: int
    N: int
    F: int
    C: int
    D: int
    num_layers: int
    num_heads: int
    dtype: str = "float32"


CASES = {
    "cpu": [Case("small", B=4, K=10, N=302, F=4, C=256, D=64, num_layers=2, num_heads=4)],
    "cuda": [
        Case("small", B=4, K=10, N=302, F=4, C=256, D=64, num_layers=2, num_heads=4),
        Case("gpcr", B=8, K=10, N=300, F=5, C=50_000, D=512, num_layers=8, num_heads=8, dtype="bfloat16"),
    ],
}


def run(device: str) -> list[dict[str, Any]]:
    """One record per case, each measured in a process of its own."""
    return [in_fresh_process(measure, case, device) for case in CASES[device]]


def measure(case: Case, device_name: str) -> dict[str, Any]:
    """Time and memory of one case."""
    device = torch.device(device_name)
    torch.manual_seed(0)
    model = registry.get("model", "ProteinTransformerClassificationOnly")(
        case.D, case.num_heads, case.num_layers, case.F, case.C, max_history=case.K
    ).to(device)
    forward_loss = ForwardLoss(model, registry.get("loss", "MaskedCrossEntropy")(), [])
    optimizer = registry.get("optimizer", "adamw")(list(model.named_parameters()))
    batch = move_batch(random_batch(case), device)

    def forward() -> torch.Tensor:
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=case.dtype == "bfloat16"):
            loss_sum, weight, _ = forward_loss(batch)
        return loss_sum / weight

    def forward_backward() -> None:
        forward().backward()

    def step() -> None:
        forward_backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    peak = peak_memory_mb(step, device)
    works = {"forward": forward, "forward_backward": forward_backward, "step": step}
    times = {name: time_ms(work, device, num_warmups=5, num_repeats=30) for name, work in works.items()}
    parameters = sum(p.numel() for p in model.parameters())
    return {**asdict(case), "num_parameters": parameters, "peak_memory_mb": peak, "times": times}


def random_batch(case: Case) -> Batch:
    """All residues present, all targets known, IDs drawn by Zipf's law: real vocabularies are that skewed."""
    generator = torch.Generator().manual_seed(0)
    frequencies = 1.0 / torch.arange(1, case.C + 1)
    num_ids = case.B * (case.K + case.F) * case.N
    ids = torch.multinomial(frequencies, num_ids, replacement=True, generator=generator)
    ids = ids.view(case.B, case.K + case.F, case.N)
    return {
        "input_cluster_ids": ids[:, : case.K],
        "times": torch.zeros(case.B, case.K),
        "sequence_lengths": torch.full((case.B,), case.N),
        "history_mask": torch.ones(case.B, case.K, case.N, dtype=torch.bool),
        "residue_mask": torch.ones(case.B, case.N, dtype=torch.bool),
        "future_cluster_ids": ids[:, case.K :],
        "future_step_mask": torch.ones(case.B, case.F, dtype=torch.bool),
    }
