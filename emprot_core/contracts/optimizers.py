"""What changes the weights: optimizers and the schedulers of their learning rate, both bound as factories."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import nn

Optimizer = Callable[[list[tuple[str, nn.Parameter]]], torch.optim.Optimizer]
Scheduler = Callable[[torch.optim.Optimizer, int], torch.optim.lr_scheduler.LRScheduler]


class ParameterGroup(NamedTuple):
    """Parameters of a model that want another learning rate and weight decay than the rest."""

    pattern: str  # of their names, as file names match in a shell: "gates.*"
    rate_factor: float  # their learning rate is so many times that of the rest
    weight_decay: float  # theirs, instead of the optimizer's; biases have none


@runtime_checkable
class HasParameterGroups(Protocol):
    """A model some of whose parameters want another learning rate and weight decay."""

    def parameter_groups(self) -> Sequence[ParameterGroup]:
        """The first group whose pattern matches a parameter counts."""


class NamedParameters(list[tuple[str, nn.Parameter]]):
    """What an optimizer is called with: the parameters to train, by name, and the groups that the model wants."""

    def __init__(self, named: Iterable[tuple[str, nn.Parameter]], groups: Sequence[ParameterGroup] = ()):
        super().__init__(named)
        self.groups = groups

    @classmethod
    def of(cls, model: nn.Module) -> "NamedParameters":
        """Those of a model that are to be trained."""
        named = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
        return cls(named, model.parameter_groups() if isinstance(model, HasParameterGroups) else ())


@runtime_checkable
class Flattens(Protocol):
    """An optimizer that updates each number independently of all others, so that it can step flat tensors."""

    def flatten(self) -> None:
        """Called once, before the first step: step flat tensors, and make parameters and gradients views of them."""
