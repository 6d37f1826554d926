"""Starts runs in processes of this machine."""

import os
import subprocess
import sys
from pathlib import Path

from emprot_core.contracts import LAUNCHED
from emprot_core.errors import EmprotError
from emprot_core.registry import register


def command_of(arguments: list[str], ranks: int) -> list[str]:
    """emprot-run with these arguments, by torchrun if there are several ranks."""
    if ranks == 1:
        return [sys.executable, "-m", "emprot_core", *arguments]
    return [*torchrun(ranks), "-m", "emprot_core", *arguments]


def torchrun(ranks: int) -> list[str]:
    return [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={ranks}"]


@register("launcher", "local")
class local:
    """Starts a run with one or several ranks on this machine, or several workers of a sweep, and waits for them."""

    def __init__(self, ranks: int = 1, num_jobs: int = 1):
        """
        Args:
            ranks: processes of a run, which share its batches.
            num_jobs: workers that share a sweep.
        """
        self._ranks, self._num_jobs = ranks, num_jobs

    def command(self, arguments: list[str]) -> list[str]:
        """The command line of one run."""
        return command_of(arguments, self._ranks)

    def submit(self, command: list[str], directory: Path) -> str:
        """
        Raises:
            EmprotError: a process ended with another status than 0.
        """
        environment = {**os.environ, LAUNCHED: "1"}
        processes = [subprocess.Popen(command, env=environment) for _ in range(self._num_jobs)]
        statuses = [process.wait() for process in processes]
        if failed := [status for status in statuses if status]:
            raise EmprotError(f"{len(failed)} of {len(statuses)} processes failed, with exit status {failed[0]}")
        return f"all {len(statuses)} processes are done; see {directory}"
