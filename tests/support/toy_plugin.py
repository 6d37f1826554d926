"""Components for tests of the registry, the config and the command line: they keep what they were given."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from emprot_core.contracts import (
    Attention,
    Baseline,
    Data,
    DataSplit,
    Job,
    Loss,
    Metric,
    Model,
    Optimizer,
    Scheduler,
)
from emprot_core.hooks.base import Hook
from emprot_core.registry import register

BUILT: list[str] = []
"""Class names in the order of building."""


class Recorded:
    """Says that it was built."""

    def __post_init__(self) -> None:
        BUILT.append(type(self).__name__)


@register("core", "run")
@dataclass
class Run:
    """The run."""

    job: Job
    directory: str | None = None
    seed: int = 0
    device: str = "auto"
    allow_config_change: bool = False


@register("core")
@dataclass
class Trainer(Recorded):
    """Trains a model.

    Args:
        model: what is trained.
    """

    model: Model
    loss: Loss
    optimizer: Optimizer
    scheduler: Scheduler | None = None
    metrics: Sequence[Metric] = ()
    hooks: Sequence[Hook] = ()
    max_epochs: int = 10
    max_steps: int | None = None
    mode: Literal["fast", "exact"] = "fast"
    tolerance: float = 0.0
    options: dict[str, float] | None = None


@register("job")
@dataclass
class Train:
    """Trains."""

    trainer: Trainer
    data: Data | None = None
    baselines: Sequence[Baseline] = ()
    note: Any = None


@register("job")
@dataclass
class Score:
    """Scores."""

    directory: str = "runs"


@register("model")
@dataclass
class Tiny(Recorded):
    """A small model."""

    width: int
    depth: int = 1
    attention: Attention | None = None
    inner: Model | None = None
    scale: float = 1.0


@register("model")
@dataclass
class Wide:
    """A model that cannot be built."""

    width: int = 1024

    def __post_init__(self) -> None:
        raise OSError(28, "No space left for weights")


@register("mixing", "Tiny")
@dataclass
class TinyMixing:
    """Has the short name of a model."""

    width: int = 1


@register("loss")
@dataclass
class SquaredError(Recorded):
    """A loss."""

    weights: list[float] | None = None


@register("optimizer")
def sgd(parameters: Any, learning_rate: float = 0.1, betas: tuple[float, float] = (0.9, 0.99)) -> Any:
    """A factory whose late parameter has a name of its own."""
    return ("sgd", parameters, learning_rate, betas)


@register("optimizer")
def adamw(named_parameters: Any, learning_rate: float = 0.001) -> Any:
    """Another factory."""
    return ("adamw", named_parameters, learning_rate)


@register("scheduler")
def constant(optimizer: Any, num_steps: int, floor: float = 0.0) -> Any:
    """A factory with two late parameters."""
    return ("constant", optimizer, num_steps, floor)


@register("attention")
def plain(q: Any, k: Any, v: Any, mask: Any = None, bias: Any = None, window: int = 0) -> Any:
    """A kernel without dropout, with a parameter of its own."""
    return ("plain", window)


@register("hook")
@dataclass
class Clip(Recorded):
    """A hook that is one by its kind alone."""

    max_norm: float = 1.0


@register("hook")
class Quiet(Hook):
    """A hook without parameters."""


@register("data")
@dataclass
class Frames:
    """Data."""

    path: str
    split: DataSplit | None = None
    transform: Callable[..., Any] | None = None

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> Any:
        raise OSError(5, f"cannot read frame {index} of {self.path}")


@register("split")
@dataclass
class ByTime:
    """A split."""

    train: float = 0.7
    extra: Any = None


@register("baseline")
class Guess:
    """A baseline that takes anything."""

    def __init__(self, alpha: float = 1.0, **others: Any):
        self.alpha = alpha
        self.others = others


TRAINING = """
run.job = @jobs.Train()
Train.trainer = @Trainer()
Trainer.model = @models.Tiny()
models.Tiny.width = 8
Trainer.loss = @losses.SquaredError()
Trainer.optimizer = @optimizers.sgd
"""
"""A config without faults."""
