"""A whole step of the real model: forward, backward and optimizer, at three sizes.

FLOPs are counted by torch (matrix products and attention), and set beside the rate of a large matrix product and the
bandwidth of a copy that were measured in the same process.
"""

import statistics
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any
from unittest.mock import patch

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.interleave import interleaved, median_ratio
from benchmarks.targets import MFU, target_on_cuda
from benchmarks.timing import in_fresh_process, matmul_rate, peak_memory_mb, spread
from emprot_core import registry
from emprot_core.batch import Batch, move_batch
from emprot_core.kernels import onednn
from emprot_core.kernels.onednn import FLOPS
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
    num_repeats: int
    dtype: str = "float32"
    loss: str = "MaskedCrossEntropy"


BY_TORCH = "whole step, products by torch"
SMALL = Case("small", B=4, K=10, N=302, F=4, C=256, D=64, num_layers=2, num_heads=4, num_repeats=20)
CASES = {
    "cpu": [
        SMALL,
        Case("long", B=2, K=64, N=302, F=4, C=256, D=64, num_layers=2, num_heads=4, num_repeats=8),
        Case("wide", B=2, K=10, N=300, F=5, C=256, D=512, num_layers=2, num_heads=8, num_repeats=5),
    ],
    "cuda": [
        SMALL,
        Case("gpcr", 8, 10, 300, 5, 50_000, 512, 8, 8, 30, "bfloat16", "LinearCrossEntropy"),
        Case("long", 8, 64, 300, 5, 50_000, 512, 8, 8, 15, "bfloat16", "LinearCrossEntropy"),
    ],
}


def run(device: str) -> Iterator[dict[str, Any]]:
    """One record per case, each measured in a process of its own."""
    return (in_fresh_process(measure, case, device) for case in CASES[device])


def measure(case: Case, device_name: str) -> dict[str, Any]:
    """Time, memory, FLOPs and their share of the machine's rates, of one case."""
    device = torch.device(device_name)
    torch.manual_seed(0)
    if device.type == "cpu":
        torch.set_num_threads(1)
        torch.use_deterministic_algorithms(True)
    works, num_parameters = make_works(case, device)
    peak = peak_memory_mb(works["whole step"], device)
    with FlopCounterMode(display=False, custom_mapping=FLOPS) as counter:
        works["whole step"]()
    flops = counter.get_total_flops()
    seconds = interleaved(works, case.num_repeats, device)
    rates = machine_rates(device, case.dtype)
    per_s = flops / statistics.median(seconds["whole step"])
    record = {
        **asdict(case),
        "num_parameters": num_parameters,
        "peak_memory_mb": peak,
        "tflop": flops / 1e12,
        "matmul_tflops": rates["matmul_flops_per_s"] / 1e12,
        "copy_gb_per_s": rates["copy_bytes_per_s"] / 1e9,
        "times": {name: spread(values) for name, values in seconds.items()},
        "ratios": {"share of the matrix product's rate (MFU)": per_s / rates["matmul_flops_per_s"]},
    }
    if BY_TORCH in seconds:
        record["ratios"][f"{BY_TORCH} / whole step"] = median_ratio(seconds[BY_TORCH], seconds["whole step"])
    # The optimizer reads weight, gradient and two moments, and writes all but the gradient.
    optimizer_rate = 7 * 4 * num_parameters / statistics.median(seconds["optimizer"])
    record["ratios"]["share of the copy's bandwidth, optimizer"] = optimizer_rate / rates["copy_bytes_per_s"]
    if case.name == "gpcr":
        share = record["ratios"]["share of the matrix product's rate (MFU)"]
        record["targets"] = [target_on_cuda(MFU, share)]
    return record


class Step:
    """The parts of a step, each of which can be repeated."""

    def __init__(self, case: Case, device: torch.device, mixing: Any = None):
        own = {"mixing": mixing, "max_history": case.K, "attention": registry.get("attention", "auto")}
        self.model = registry.get("model", "ProteinTransformerClassificationOnly")(
            case.D, case.num_heads, case.num_layers, case.F, case.C, **own
        ).to(device)
        self.forward_loss = ForwardLoss(self.model, registry.get("loss", case.loss)(), [])
        self.optimizer = registry.get("optimizer", "adamw")(list(self.model.named_parameters()))
        self.optimizer.flatten()
        self.parameters = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        self.batch = move_batch(random_batch(case), device)
        self.autocast = partial(torch.autocast, device.type, torch.bfloat16, enabled=case.dtype == "bfloat16")

    def forward(self) -> torch.Tensor:
        with self.autocast():
            loss_sum, weight, _ = self.forward_loss(self.batch)
        return loss_sum / weight

    def forward_backward(self) -> None:
        self.forward().backward()

    def whole(self) -> None:
        self.forward_backward()
        self.optimizer.step()
        torch._foreach_zero_([parameter.grad for parameter in self.parameters])

    def by_torch(self) -> None:
        with patch.object(onednn, "_HAS_ONEDNN", False):
            self.whole()


def make_works(case: Case, device: torch.device) -> tuple[dict[str, Callable[[], Any]], int]:
    """The parts of a step by name, and the number of parameters."""
    step = Step(case, device)
    works = {
        "forward": step.forward,
        "forward and backward": step.forward_backward,
        "optimizer": step.optimizer.step,
        "whole step": step.whole,
    }
    if device.type == "cpu":
        works[BY_TORCH] = step.by_torch
    return works, sum(p.numel() for p in step.model.parameters())


def machine_rates(device: torch.device, dtype: str) -> dict[str, float]:
    """FLOPs a second of a large square matrix product, and bytes a second, read and written, of a copy."""
    on_cuda = device.type == "cuda"
    source = torch.ones((1 << 28) if on_cuda else (1 << 25), device=device)
    into = torch.empty_like(source)
    seconds = statistics.median(interleaved({"copy": lambda: into.copy_(source)}, 10, device)["copy"])
    return {
        "matmul_flops_per_s": matmul_rate(getattr(torch, dtype), device, 8192 if on_cuda else 1024),
        "copy_bytes_per_s": 2 * source.numel() * source.element_size() / seconds,
    }


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
