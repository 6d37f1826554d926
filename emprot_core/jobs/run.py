"""Turns a checked config into a finished job."""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from emprot_core.breach import check_method, title
from emprot_core.config import Config
from emprot_core.contracts import Job, Launcher, MergesShards
from emprot_core.distributed import barrier, find_device, process_group
from emprot_core.jobs.context import RunContext, RunRefused
from emprot_core.randomness import seed_everything, use_deterministic_algorithms
from emprot_core.registry import register

REFUSED = 2
_log = logging.getLogger("emprot")


@register("core", "run")
@dataclass(frozen=True)
class RunSettings:
    """The run: its job, directory, device and seed.

    Attributes:
        job: what the run does.
        launcher: submits the run instead of doing it here, with what the launcher adds: Slurm, torchrun.
        directory: where the run writes; runs/<stem of the first gin file> by default.
        seed: the seed of weights, dropout and the order of the data.
        device: "auto" (CUDA where there is one), "cpu", "cuda", "cuda:1", ...
        deterministic: make repeats on CUDA bit-identical, at a cost in speed. On a CPU they always are.
        allow_config_change: continue a run even if its config or data have changed.
        init_from: a run directory or a checkpoint, from which the weights that fit are taken.
    """

    job: Job
    directory: str | None = None
    seed: int = 0
    device: str = "auto"
    deterministic: bool = False
    allow_config_change: bool = False
    init_from: str | None = None
    launcher: Launcher | None = None


def directory_of(config: Config, fresh: bool = False) -> Path:
    """The run directory that a config names; `fresh` takes the next free one instead of continuing in an old one."""
    given = config.get("run.directory")
    directory = Path(given or Path("runs") / Path(config.files[0]).stem).expanduser()
    return _next_free(directory) if fresh else directory


def run_job(config: Config, directory: Path, merge: bool = False) -> int:
    """Build and run `run.job`, or join what its shards have made.

    Returns:
        The exit status: 0 if done, 2 if refused, 130 or 143 if the run left early and can be resumed.
    """
    parameters = config.parameters("run", lazy={"job", "launcher"})
    build_job = parameters["job"]
    settings = RunSettings(**parameters)
    device = find_device(settings.device, "run.device")
    use_deterministic_algorithms(device, settings.deterministic)
    with _log_on_terminal(), process_group(device):
        seed_everything(settings.seed)
        context = RunContext(
            directory=directory,
            seed=settings.seed,
            device=device,
            config=config,
            allow_config_change=settings.allow_config_change,
            init_from=settings.init_from,
        )
        barrier()  # all ranks must have found the next free directory before one of them makes it
        try:
            check_method(job := build_job(), "run", "context")
            if merge and not isinstance(job, MergesShards):
                raise RunRefused(f"--merge joins what shards have made; run.job, {title(type(job))}, has none")
            return (job.merge(context) if merge else job.run(context)) or 0
        except RunRefused as refusal:
            _log.error("error: %s\n  docs: %s", refusal, refusal.page)
            return REFUSED


def _next_free(directory: Path) -> Path:
    if not directory.exists():
        return directory
    names = (directory.with_name(f"{directory.name}-{number}") for number in count(2))
    return next(path for path in names if not path.exists())


@contextmanager
def _log_on_terminal() -> Iterator[None]:
    """Show the log of rank 0 only, because the other ranks log the same."""
    is_first = os.environ.get("RANK", "0") == "0"
    handler = logging.StreamHandler(sys.stderr) if is_first else logging.NullHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    _log.setLevel(logging.INFO)
    _log.addHandler(handler)
    try:
        yield
    finally:
        _log.removeHandler(handler)
