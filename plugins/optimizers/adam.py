"""Adam and its variants. Biases and parameters of fewer than two dimensions have no weight decay."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import _global_optimizer_post_hooks, _global_optimizer_pre_hooks

from emprot_core.registry import register

from .flat import Views, flatten
from .parameter_groups import Named, decay_groups


class FlatAdamW(torch.optim.AdamW):
    """torch's fused AdamW; after flatten(), a step updates one flat tensor per group, dtype and device.

    The kernel is torch's. torch first visits every parameter and sorts them by device, which takes longer than the
    kernel if the model is small; flattening avoids this.
    """

    is_flat = False

    @staticmethod
    def profile_hook_step(func: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap `step` as torch does, which runs step hooks and names it in profiles, but only if either is in use.

        The wrapper of torch takes longer than the kernel.
        """
        observed = torch.optim.Optimizer.profile_hook_step(func)

        @wraps(func)
        def step(self: torch.optim.Optimizer, *args: Any, **kwargs: Any) -> Any:
            is_observed = (
                torch.autograd._profiler_enabled()  # type: ignore[attr-defined]  # private to torch
                or self._optimizer_step_pre_hooks
                or self._optimizer_step_post_hooks
                or _global_optimizer_pre_hooks
                or _global_optimizer_post_hooks
            )
            return observed(self, *args, **kwargs) if is_observed else func(self, *args, **kwargs)

        return step

    def flatten(self) -> None:
        """Replace the parameters by flat tensors, of which they become views. Call it before the first step."""
        given = [parameter for group in self.param_groups for parameter in group["params"]]
        for group in self.param_groups:
            group["params"] = flatten(group["params"])
            for parameter in group["params"]:
                self.state[parameter] = {
                    "step": torch.zeros((), dtype=torch.float32, device=parameter.device),
                    "exp_avg": torch.zeros_like(parameter),
                    "exp_avg_sq": torch.zeros_like(parameter),
                }
        self.views = Views(given)
        self.is_flat = True

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        if not self.is_flat or closure is not None:
            return super().step(closure)
        self.views.check()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._step_one(group, parameter, parameter.grad)
        return None

    def _step_one(self, group: dict[str, Any], parameter: Tensor, gradient: Tensor) -> None:
        state = self.state[parameter]
        # torch's GradScaler sets both attributes; the trainer sets found_inf to withhold an update.
        scale, found_inf = getattr(self, "grad_scale", None), getattr(self, "found_inf", None)
        state["step"] += 1
        torch._fused_adamw_(
            [parameter], [gradient], [state["exp_avg"]], [state["exp_avg_sq"]], [], [state["step"]],
            lr=group["lr"], beta1=group["betas"][0], beta2=group["betas"][1], weight_decay=group["weight_decay"],
            eps=group["eps"], amsgrad=False, maximize=False, grad_scale=scale, found_inf=found_inf,
        )  # fmt: skip
        if found_inf is not None:
            state["step"] -= found_inf


@register("optimizer")
def adamw(
    named_parameters: Named,
    learning_rate: float = 1e-3,
    weight_decay: float = 0.01,
    betas: tuple[float, float] = (0.9, 0.999),
) -> torch.optim.Optimizer:
    """AdamW (Loshchilov & Hutter 2019), torch's fused form.

    Args:
        learning_rate: the peak rate; the scheduler multiplies it.
        weight_decay: the share of itself that a weight loses in a step, times the rate; biases and norms have none.
        betas: decay rates of the running means of the gradient and of its square.
    """
    return FlatAdamW(
        decay_groups(named_parameters, learning_rate, weight_decay), lr=learning_rate, betas=betas, fused=True
    )


@register("optimizer")
def adam(
    named_parameters: Named,
    learning_rate: float = 1e-3,
    weight_decay: float = 0.0,
    betas: tuple[float, float] = (0.9, 0.999),
) -> torch.optim.Optimizer:
    """Adam (Kingma & Ba 2015); weight_decay is an L2 term in the gradient.

    Args:
        learning_rate: the peak rate; the scheduler multiplies it.
        weight_decay: factor of the weight that is added to its gradient; biases and norms have none.
        betas: decay rates of the running means of the gradient and of its square.
    """
    return torch.optim.Adam(
        decay_groups(named_parameters, learning_rate, weight_decay), lr=learning_rate, betas=betas, fused=True
    )


@register("optimizer")
def nadam(
    named_parameters: Named,
    learning_rate: float = 1e-3,
    weight_decay: float = 0.01,
    betas: tuple[float, float] = (0.9, 0.999),
) -> torch.optim.Optimizer:
    """Adam with Nesterov momentum (Dozat 2016); weight_decay is decoupled, as in AdamW.

    Args:
        learning_rate: the peak rate; the scheduler multiplies it.
        weight_decay: the share of itself that a weight loses in a step, times the rate; biases and norms have none.
        betas: decay rates of the running means of the gradient and of its square.
    """
    groups = decay_groups(named_parameters, learning_rate, weight_decay)
    return torch.optim.NAdam(groups, lr=learning_rate, betas=betas, decoupled_weight_decay=True)


@register("optimizer")
def radam(
    named_parameters: Named,
    learning_rate: float = 1e-3,
    weight_decay: float = 0.01,
    betas: tuple[float, float] = (0.9, 0.999),
) -> torch.optim.Optimizer:
    """Adam with a rectified step size (Liu et al. 2020), which warms up by itself; weight_decay is decoupled.

    Args:
        learning_rate: the peak rate; the scheduler multiplies it.
        weight_decay: the share of itself that a weight loses in a step, times the rate; biases and norms have none.
        betas: decay rates of the running means of the gradient and of its square.
    """
    groups = decay_groups(named_parameters, learning_rate, weight_decay)
    return torch.optim.RAdam(groups, lr=learning_rate, betas=betas, decoupled_weight_decay=True)
