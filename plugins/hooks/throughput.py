"""Measures where the time of a step goes and how much of the device is used."""

import time
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from emprot_core.hooks.base import Hook, TrainerView
from emprot_core.kernels.onednn import FLOPS
from emprot_core.registry import register

_PHASES = ("data", "forward", "backward", "optimizer")


@register("hook")
class Throughput(Hook):
    """Adds time/data_ms, time/forward_ms, time/backward_ms, time/optimizer_ms and time/tflops to the logs.

    Times are means over the steps since the last log step. `data` is everything between two steps, including a
    checkpoint; `forward` is model, loss and metrics; `optimizer` is everything after the last backward pass. The FLOPs
    of the first step are counted by torch's FlopCounterMode (matrix products and attention) and assumed for every
    step. On CUDA the times come from events, which are read at a log step. Also on CUDA, time/mfu is the rate of
    training divided by the rate of a large matrix product, measured when training starts.
    """

    def __init__(self) -> None:
        self._marks: list[list[Any]] = []
        self._handles: list[Any] = []
        self._counter: FlopCounterMode | None = None
        self._flops_per_step = 0
        self._matmul_rate: float | None = None

    def on_fit_start(self, trainer: TrainerView) -> None:
        self._cuda = trainer.run.device.type == "cuda"
        self._matmul_rate = matmul_flops_per_s(trainer.run.device) if self._cuda else None
        forward_loss = trainer.forward_loss
        self._handles = [
            forward_loss.register_forward_pre_hook(lambda module, inputs: self._mark("forward")),
            forward_loss.register_forward_hook(lambda module, inputs, outputs: self._mark("backward")),
        ]
        self._marks = [["data", self._now()]]

    def on_step_start(self, trainer: TrainerView) -> None:
        self._mark("forward")
        if not self._flops_per_step:
            self._counter = FlopCounterMode(display=False, custom_mapping=FLOPS)
            self._counter.__enter__()

    def on_backward_end(self, trainer: TrainerView) -> None:
        self._mark("optimizer")
        if self._counter is not None:
            self._counter.__exit__(None, None, None)
            self._flops_per_step = self._counter.get_total_flops()
            self._counter = None

    def on_step_end(self, trainer: TrainerView) -> None:
        self._mark("data")

    def on_validation_start(self, trainer: TrainerView) -> None:
        self._mark("validation")

    def on_validation_end(self, trainer: TrainerView) -> None:
        self._mark("data")

    def on_fit_end(self, trainer: TrainerView) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles = []

    on_exception = on_fit_end

    def scalars(self, trainer: TrainerView) -> dict[str, float]:
        self._mark("data")
        spans = zip(self._marks, self._marks[1:], strict=False)
        seconds = dict.fromkeys((*_PHASES, "validation"), 0.0)
        for (phase, start), (_, end) in spans:
            seconds[phase] += self._seconds(start, end)
        num_steps = sum(phase == "optimizer" for phase, _ in self._marks)
        self._marks = self._marks[-1:]
        rate = num_steps * self._flops_per_step / sum(seconds[phase] for phase in _PHASES)
        logs = {f"time/{phase}_ms": 1e3 * seconds[phase] / num_steps for phase in _PHASES}
        logs["time/tflops"] = rate / 1e12
        return logs if self._matmul_rate is None else {**logs, "time/mfu": rate / self._matmul_rate}

    def _mark(self, phase: str) -> None:
        if not self._marks or (self._marks[-1][0] == "validation" and phase != "data"):
            return  # this is a validation without training, or a forward pass within a validation
        self._marks.append([phase, self._now()])

    def _now(self) -> Any:
        if not self._cuda:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def _seconds(self, start: Any, end: Any) -> float:
        if not self._cuda:
            return end - start
        end.synchronize()
        return start.elapsed_time(end) / 1e3


def matmul_flops_per_s(
    device: torch.device, size: int = 8192, dtype: torch.dtype = torch.bfloat16, repeats: int = 10
) -> float:
    """The FLOP/s of a square matrix product: the median of `repeats` runs, after two runs of warm-up."""
    a = torch.randn(size, size, device=device, dtype=dtype)
    times = []
    for _ in range(repeats + 2):
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        start = time.perf_counter()
        a @ a
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - start)
    return 2 * size**3 / sorted(times[2:])[repeats // 2]
