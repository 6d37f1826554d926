"""What a job knows about its run."""

from dataclasses import dataclass
from pathlib import Path

import torch

from emprot_core.config import Config
from emprot_core.errors import EmprotError


class RunRefused(EmprotError):
    """The run cannot start as requested. The message says what to do instead. Exit status 2."""

    page = "faults#run-refused"


@dataclass(frozen=True)
class RunContext:
    """One run: where it writes, what it runs on, and the config it was built from."""

    directory: Path
    seed: int
    device: torch.device
    config: Config
    allow_config_change: bool = False
    init_from: str | None = None
