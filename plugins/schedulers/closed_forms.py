"""The learning rate as a closed form of the optimizer step, so that a resumed run has the same rate."""

import math
from collections.abc import Callable

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from emprot_core.errors import EmprotError
from emprot_core.registry import register


class ClosedForm(LambdaLR):
    """torch's LambdaLR without its checks in every step, which take longer than clipping the gradients."""

    def step(self, epoch: int | None = None) -> None:
        # The first step, which the constructor takes, sets everything up.
        if epoch is not None or self.last_epoch < 0:
            super().step(epoch)
            return
        self.last_epoch += 1
        self._step_count += 1
        self._last_lr = [
            base * factor(self.last_epoch) for base, factor in zip(self.base_lrs, self.lr_lambdas, strict=True)
        ]
        for group, rate in zip(self.optimizer.param_groups, self._last_lr, strict=True):
            group["lr"] = rate


@register("scheduler")
def cosine_with_warmup(
    optimizer: Optimizer, num_steps: int, warmup_proportion: float = 0.1, min_lr: float = 0.0
) -> LambdaLR:
    """Linear warmup over a share of the steps, then half a cosine down to min_lr (Loshchilov & Hutter 2017).

    Args:
        warmup_proportion: share of the run's steps in which the rate rises.
        min_lr: the rate of the last step.

    Raises:
        EmprotError: warmup_proportion lies outside [0, 1], or min_lr is above the learning rate.
    """
    return _warmup_then(_half_cosine, optimizer, num_steps, warmup_proportion, min_lr)


@register("scheduler")
def linear(optimizer: Optimizer, num_steps: int, warmup_proportion: float = 0.1, min_lr: float = 0.0) -> LambdaLR:
    """Linear warmup over a share of the steps, then a straight line down to min_lr.

    Args:
        warmup_proportion: share of the run's steps in which the rate rises.
        min_lr: the rate of the last step.

    Raises:
        EmprotError: warmup_proportion lies outside [0, 1], or min_lr is above the learning rate.
    """
    return _warmup_then(lambda progress: 1 - progress, optimizer, num_steps, warmup_proportion, min_lr)


@register("scheduler")
def warmup_stable_decay(
    optimizer: Optimizer,
    num_steps: int,
    warmup_proportion: float = 0.1,
    decay_proportion: float = 0.2,
    min_lr: float = 0.0,
) -> LambdaLR:
    """Linear warmup, a constant rate, then a decay to min_lr over the last share of the steps (Hu et al. 2024).

    The decay follows 1 - sqrt(progress), which Haegele et al. 2024 (arXiv:2405.18392) found better than a line.

    Args:
        warmup_proportion: share of the run's steps in which the rate rises.
        decay_proportion: share of the run's steps in which the rate falls, at the end.
        min_lr: the rate of the last step.

    Raises:
        EmprotError: the proportions are negative or together above 1, or min_lr is above the learning rate.
    """
    _check_share("decay_proportion", decay_proportion)
    if warmup_proportion + decay_proportion > 1:
        raise EmprotError(
            f"warmup_proportion + decay_proportion is {warmup_proportion + decay_proportion}, expected at most 1: "
            "shares of the run's steps; lower one of them"
        )
    # Progress counts the steps after the warmup, so express the decay as a share of those.
    share = decay_proportion / (1 - warmup_proportion) if decay_proportion else 0.0

    def fall(progress: float) -> float:
        past = progress - (1 - share)
        return 1 - math.sqrt(past / share) if past > 0 and share else 1.0

    return _warmup_then(fall, optimizer, num_steps, warmup_proportion, min_lr)


@register("scheduler")
def one_cycle(
    optimizer: Optimizer,
    num_steps: int,
    warmup_proportion: float = 0.3,
    div_factor: float = 25.0,
    final_div_factor: float = 1e4,
) -> LambdaLR:
    """Half a cosine up to the learning rate and half a cosine down (Smith & Topin 2019), as torch's OneCycleLR.

    Unlike there, the momentum stays constant.

    Args:
        warmup_proportion: share of the run's steps in which the rate rises.
        div_factor: the first rate is the learning rate / div_factor.
        final_div_factor: the last rate is the first rate / final_div_factor.

    Raises:
        EmprotError: warmup_proportion lies outside [0, 1], or a factor is below 1.
    """
    _check_share("warmup_proportion", warmup_proportion)
    for name, value in (("div_factor", div_factor), ("final_div_factor", final_div_factor)):
        if value < 1:
            raise EmprotError(f"{name} is {value}, expected 1 or more: rates are divided by it")
    first, last = 1 / div_factor, 1 / (div_factor * final_div_factor)
    peak, end = warmup_proportion * num_steps - 1, num_steps - 1

    def factor(step: int) -> float:
        if step <= peak and peak > 0:
            return 1 + (first - 1) * _half_cosine(step / peak)
        progress = (step - peak) / (end - peak) if end > peak else 1.0
        return last + (1 - last) * _half_cosine(min(1.0, progress))

    return ClosedForm(optimizer, factor)


@register("scheduler")
def step(optimizer: Optimizer, num_steps: int, drop_every: float = 0.3, factor: float = 0.1) -> LambdaLR:
    """Multiplies the learning rate by `factor` each time a share `drop_every` of the run's steps is done.

    Args:
        drop_every: share of the run's steps between two drops.
        factor: what the rate is multiplied by.

    Raises:
        EmprotError: drop_every is not above 0.
    """
    if drop_every <= 0:
        raise EmprotError(f"drop_every is {drop_every}, expected a share of the run's steps above 0")
    length = max(1, round(drop_every * num_steps))
    return ClosedForm(optimizer, lambda index: factor ** (index // length))


@register("scheduler")
def constant(optimizer: Optimizer, num_steps: int) -> LambdaLR:
    """Keeps the learning rate constant."""
    return ClosedForm(optimizer, lambda index: 1.0)


def _warmup_then(
    shape: Callable[[float], float], optimizer: Optimizer, num_steps: int, warmup_proportion: float, min_lr: float
) -> LambdaLR:
    """A linear warmup, then `shape`, which falls from 1 to 0 over progress 0 to 1 and is scaled to end at min_lr."""
    _check_share("warmup_proportion", warmup_proportion)
    num_warmup = round(warmup_proportion * num_steps)

    def factor_from(floor: float) -> Callable[[int], float]:
        def factor(step: int) -> float:
            if step < num_warmup:
                return (step + 1) / num_warmup
            progress = min(1.0, (step - num_warmup) / max(1, num_steps - num_warmup))
            return floor + (1 - floor) * shape(progress)

        return factor

    floors = []
    for group in optimizer.param_groups:
        if min_lr > group["lr"]:
            raise EmprotError(f"min_lr is {min_lr}, above the learning rate {group['lr']}; lower min_lr")
        floors.append(min_lr / group["lr"] if group["lr"] else 0.0)
    return ClosedForm(optimizer, [factor_from(floor) for floor in floors])


def _half_cosine(progress: float) -> float:
    """Falls from 1 to 0 as the progress goes from 0 to 1."""
    return 0.5 * (1 + math.cos(math.pi * progress))


def _check_share(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise EmprotError(f"{name} is {value}, expected 0 to 1: a share of the run's steps")
