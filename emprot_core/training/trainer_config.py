"""The mapping that EMPROTTrainer takes."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from numbers import Integral, Real
from os import PathLike
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints


@dataclass(frozen=True)
class TrainerConfig:
    """The keys of the mapping, with their defaults."""

    num_clusters: int
    d_embed: int = 64
    num_heads: int = 4
    num_layers: int = 2
    future_horizon: int = 4
    dropout: float = 0.1
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.999)
    max_epochs: int = 1
    max_steps: int | None = None
    grad_accum_steps: int = 1
    max_grad_norm: float | None = 1.0
    use_amp: bool = True  # acts on CUDA
    use_scheduler: bool = True
    warmup_proportion: float = 0.1
    min_lr: float = 0.0
    patience: int | None = None
    early_stopping_min_delta: float = 0.0
    checkpoint_dir: str | None = None  # files of the same names in it are replaced: give each training its own
    seed: int = 0
    device: str | None = None  # CUDA where there is one
    use_wandb: bool = False

    @classmethod
    def parse(cls, config: Mapping[str, Any]) -> "TrainerConfig":
        """
        Raises:
            ValueError: a key is unknown, num_clusters is missing, or use_wandb is asked for.
        """
        known = [field.name for field in fields(cls)]
        for key in config:
            if key not in known:
                close = difflib.get_close_matches(str(key), known, n=1)
                hint = f"did you mean {close[0]!r}? " if close else ""
                raise ValueError(f"the config has the unknown key {key!r}; {hint}known keys: {', '.join(known)}")
        if "num_clusters" not in config:
            raise ValueError("the config has no num_clusters; give the number of classes of the vocabulary")
        if config.get("use_wandb"):
            raise ValueError(
                "use_wandb is True, but EMPROT logs to TensorBoard and has no hook for wandb; leave it out"
            )
        hints = get_type_hints(cls)
        for key, value in config.items():
            if not _fits(value, hints[key]):
                wanted = " or ".join(kind.__name__ for kind in _kinds(hints[key]))
                raise ValueError(f"{key} is {value!r}, expected {wanted.replace('NoneType', 'None')}")
        return cls(**config)


def _kinds(hint: Any) -> tuple[type, ...]:
    kinds = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    return tuple(get_origin(kind) or kind for kind in kinds)


def _fits(value: Any, hint: Any) -> bool:
    kinds = _kinds(hint)
    if isinstance(value, bool):
        return bool in kinds
    wider: dict[type, Any] = {int: Integral, float: Real, str: (str, PathLike), tuple: (tuple, list)}
    return any(isinstance(value, wider.get(kind, kind)) for kind in kinds)
