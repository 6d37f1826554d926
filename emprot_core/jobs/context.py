"""What a job is told of the run it is."""

from dataclasses import dataclass
from pathlib import Path

import torch

from emprot_core.config import Config


class RunRefused(Exception):
    """The run cannot start as asked for; the message names the ways out. Exit status 2."""


@dataclass(frozen=True)
class RunContext:
    """One run: where it writes, what it runs on, and the config it was built from."""

    directory: Path
    seed: int
    device: torch.device
    config: Config
    allow_config_change: bool = False
    init_from: str | None = None
