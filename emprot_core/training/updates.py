"""Optimizer steps: the gradients of a loss that is summed over micro-batches and ranks, and the updates."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from emprot_core.batch import Batch
from emprot_core.checkpoint import CheckpointError
from emprot_core.conformance.training import check_owns, make
from emprot_core.contracts import Flattens, NamedParameters, Optimizer, Scheduler
from emprot_core.distributed import copy_from_rank_0, max_over_ranks, sum_each_over_ranks, world_size
from emprot_core.hooks.base import MakeContext
from emprot_core.training.memory import keep_freed_memory
from emprot_core.training.sums import MetricSums


class Updates:
    """Optimizer, scheduler, scaler and gradients of a training.

    A step differentiates (sum of the loss) / (sum of its weights), both over all its micro-batches and ranks.
    A parameter that the step did not use gets a zero gradient, not None.
    """

    def __init__(self, model: nn.Module, optimizer: Optimizer, scheduler: Scheduler | None, num_steps: int):
        """
        Args:
            optimizer: a factory, called with the named parameters.
            scheduler: a factory, called with the optimizer and num_steps.
            num_steps: optimizer steps of the whole training.

        Raises:
            ContractBroken: a factory takes other arguments, or does not return an optimizer or a scheduler.
            EmprotError: a factory raises ValueError.
        """
        copy_from_rank_0(model.state_dict().values())
        named = NamedParameters.of(model)
        self.optimizer = make(optimizer, "Trainer.optimizer", ("named_parameters",), named)
        check_owns(optimizer, self.optimizer, model)
        if isinstance(self.optimizer, Flattens):
            self.optimizer.flatten()
        self.parameters: list[nn.Parameter] = [p for group in self.optimizer.param_groups for p in group["params"]]
        self.gradients = _gradients_of(self.parameters)
        keep_freed_memory()
        self.scheduler: Any = None
        if scheduler is not None:
            arguments = (self.optimizer, num_steps)
            self.scheduler = make(scheduler, "Trainer.scheduler", ("optimizer", "num_steps"), *arguments)
        self.scaler = torch.amp.GradScaler(enabled=False)
        self._norm = torch.zeros(())
        self._learning_rate = 0.0
        self._divisor = 0.0  # roughly the weight of a step; 0 before the first step
        self._is_withheld = False

    def backward(self, forward_loss: nn.Module, micro_batches: Sequence[Batch], autocast: MakeContext) -> MetricSums:
        """Compute the gradients of a step. Gives the sums and weights of loss and metrics over all ranks."""
        self._divisor = self._divisor or _divisor(micro_batches)
        sums = MetricSums()
        for batch in micro_batches:
            with autocast():
                loss_sum, _, metrics = forward_loss(batch)
            # Start backward at 1 / divisor: dividing the loss would add an operation to the forward and the backward.
            self.scaler.scale(loss_sum).backward(torch.full_like(loss_sum, 1 / self._divisor))
            sums.add(metrics)
        sums = sums.over_ranks()
        if world_size() > 1:  # docs/decisions/002-no-ddp-wrapper.md says why not by DistributedDataParallel
            torch._foreach_copy_(self.gradients, sum_each_over_ranks(self.gradients))
        self.scaler.unscale_(self.optimizer)
        correction = (sums.weight("total_loss") / self._divisor).to(self.gradients[0].dtype)
        torch._foreach_div_(self.gradients, correction)
        self._norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(self.gradients)))
        return sums

    def gradient_norm(self) -> Tensor:
        """The norm () of this step's gradients before any hook changed them."""
        return self._norm

    def logs(self) -> dict[str, float]:
        """Learning rate and gradient norm of the last step."""
        return {"train/learning_rate": self._learning_rate, "train/gradient_norm": float(self._norm)}

    def withhold(self, suspect: Tensor) -> None:
        """If `suspect` () is not finite, make the coming step change neither parameters nor optimizer state."""
        # Optimizers that torch marks in this way read found_inf on the device, so that nothing waits for it.
        reads_found_inf = getattr(self.optimizer, "_step_supports_amp_scaling", False)
        if reads_found_inf and suspect.is_cuda:
            self.optimizer.found_inf = (~suspect.isfinite()).float()
        else:
            self._is_withheld = not math.isfinite(suspect)

    def step(self) -> None:
        """Step the optimizer and the scheduler. A withheld step also counts for the scheduler."""
        self._learning_rate = self.optimizer.param_groups[0]["lr"]
        scale = self.scaler.get_scale()
        if not self._is_withheld:
            self.scaler.step(self.optimizer)
        self._is_withheld = False
        self.scaler.update()
        torch._foreach_zero_(self.gradients)  # in place: the optimizer and CUDA graphs refer to these tensors
        for parameter, gradient in zip(self.parameters, self.gradients, strict=True):
            parameter.grad = gradient
        if self.scheduler is not None and self.scaler.get_scale() >= scale:  # a lower scale: fp16 skipped the step
            self.scheduler.step()

    def state_dict(self) -> dict[str, Any]:
        return {
            "optimizer": self.optimizer.state_dict(),
            "optimizer_class": type(self.optimizer).__name__,
            "scheduler": self.scheduler and self.scheduler.state_dict(),
            "scaler": self.scaler.state_dict(),
            "divisor": self._divisor,
        }

    def load_state_dict(self, state: dict[str, Any], keep_rates: bool) -> None:
        """Continue from `state_dict`.

        Args:
            keep_rates: keep the learning rate, weight decay and so on that this optimizer was made with. Only the
                position in the schedule is taken from the state.

        Raises:
            CheckpointError: the state is of another optimizer class, or only one of state and trainer has a scheduler.
        """
        if state["optimizer_class"] != (ours := type(self.optimizer).__name__):
            raise CheckpointError(
                f"the checkpoint has the state of {state['optimizer_class']}, this trainer has {ours}; bind "
                "Trainer.optimizer as it was, or take the weights alone: run.init_from, in another directory"
            )
        if (self.scheduler is None) != (state["scheduler"] is None):
            raise CheckpointError(
                f"the checkpoint has {'no' if self.scheduler else 'a'} scheduler, this trainer has "
                f"{'one' if self.scheduler else 'none'}; bind Trainer.scheduler as it was"
            )
        groups = [{key: value for key, value in g.items() if key != "params"} for g in self.optimizer.param_groups]
        base_rates = getattr(self.scheduler, "base_lrs", None)
        self.optimizer.load_state_dict(state["optimizer"])
        if self.scheduler is not None:
            self.scheduler.load_state_dict(state["scheduler"])
        if keep_rates:
            for group, bound in zip(self.optimizer.param_groups, groups, strict=True):
                progress = group["lr"] / group["initial_lr"] if group.get("initial_lr") else 1.0
                group.update(bound, lr=bound.get("initial_lr", bound["lr"]) * progress)
            if base_rates is not None:
                self.scheduler.base_lrs = base_rates
        self.scaler.load_state_dict(state["scaler"])
        self._divisor = state["divisor"]


def _divisor(micro_batches: Sequence[Batch]) -> float:
    """Roughly the weight of a step over all ranks, to divide by before the weight is known.

    Dividing keeps the gradients in the range of fp16. The divisor is a power of two, so that no digit changes.
    """
    positions = sum(batch["future_cluster_ids"].numel() for batch in micro_batches)
    (most,) = max_over_ranks([positions])
    return 2.0 ** round(math.log2(most * world_size()))


def _gradients_of(parameters: Sequence[nn.Parameter]) -> list[Tensor]:
    """The gradient tensors of parameters, zero where there was none. From now on they are only changed in place."""
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    return [parameter.grad for parameter in parameters if parameter.grad is not None]
