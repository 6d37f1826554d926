"""Submits runs to Slurm."""

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from emprot_core.contracts import LAUNCHED
from emprot_core.errors import EmprotError
from emprot_core.registry import register

from .local import command_of

_NO_LIMIT = 10_000
"""How often submitit may requeue a job: it counts every preemption, and gives up after three by default."""
_SIGNALLED = (129, 130, 143, -signal.SIGTERM, -signal.SIGINT)


@register("launcher", "slurm")
class slurm:
    """Submits a run, or workers of a sweep, as jobs of Slurm (extra `slurm`, submitit).

    A job that is preempted or meets its time limit saves, is queued again, and goes on in its run directory to the bit.
    Slurm must see the directory on all its nodes.
    """

    def __init__(
        self,
        partition: str | None = None,
        minutes: int = 60,
        ranks: int = 1,
        cpus_per_rank: int = 1,
        gpus: int = 0,
        num_jobs: int = 1,
        seconds_to_save: int = 60,
        options: Mapping[str, Any] | None = None,
    ):
        """
        Args:
            partition: where the job runs; None takes Slurm's default.
            minutes: the time limit of a job. After it the job is queued again.
            ranks: processes of a run on one node, started by torchrun.
            cpus_per_rank: cores of each.
            gpus: GPUs of the job in all.
            num_jobs: jobs of one array that share a sweep.
            seconds_to_save: how long before its time limit a job is told to save.
            options: further options of sbatch, such as {"account": "mine", "constraint": "a100"}.

        Raises:
            EmprotError: the time limit leaves no time to compute.
        """
        if seconds_to_save >= 60 * minutes:
            raise EmprotError(
                f"seconds_to_save is {seconds_to_save}, expected less than the {minutes} minutes of the job"
            )
        self._ranks, self._num_jobs = ranks, num_jobs
        self._parameters: dict[str, Any] = {
            "name": "emprot",
            "timeout_min": minutes,
            "cpus_per_task": ranks * cpus_per_rank,
            "slurm_signal_delay_s": seconds_to_save,
            "slurm_additional_parameters": dict(options or {}),
        }
        if partition is not None:
            self._parameters["slurm_partition"] = partition
        if gpus:
            self._parameters["gpus_per_node"] = gpus

    def command(self, arguments: list[str]) -> list[str]:
        """The command line of one run."""
        return command_of(arguments, self._ranks)

    def submit(self, command: list[str], directory: Path) -> str:
        """
        Raises:
            ModuleNotFoundError: submitit is not installed.
            EmprotError: there is no Slurm here, or it refuses the job.
        """
        try:
            import submitit
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError("launchers.slurm needs submitit; pip install 'emprot[slurm]'") from error
        folder = (directory / "slurm").absolute()
        try:
            executor = submitit.AutoExecutor(folder, cluster="slurm", slurm_max_num_timeout=_NO_LIMIT)
            executor.update_parameters(**self._parameters)
            with executor.batch():
                jobs = [executor.submit(RequeuedCommand(command, directory)) for _ in range(self._num_jobs)]
        except (RuntimeError, submitit.core.utils.FailedJobError) as error:
            raise EmprotError(f"the job was not submitted: {error}") from error
        names = ", ".join(str(job.job_id) for job in jobs)
        return f"submitted job {names}, which logs to {folder}; to watch it: squeue, emprot-run --runs {directory}"


class RequeuedCommand:
    """A command that submitit runs in a job. It ends by saving, and is queued again, when the job must leave."""

    def __init__(self, command: list[str], directory: Path):
        self._command, self._directory = command, directory
        self._status: int | None = None

    def __call__(self) -> None:
        """
        Raises:
            RuntimeError: the command failed.
        """
        self._process = subprocess.Popen(self._command, env={**os.environ, LAUNCHED: "1"})
        # Another thread waits, because a handler of a signal that interrupts Popen.wait cannot wait for it itself.
        threading.Thread(target=self._wait, daemon=True).start()
        while self._status is None:
            time.sleep(0.1)
        if self._was_interrupted():
            # Slurm signalled the whole job, which must leave: it queues the job again, unless somebody cancelled it.
            time.sleep(_NO_LIMIT)
        if self._status:
            raise RuntimeError(f"exit status {self._status}: {' '.join(self._command)}")

    def checkpoint(self) -> Any:
        """What submitit queues again: called when the job is preempted or meets its time limit."""
        import submitit

        if self._status is None:
            self._process.terminate()
        while self._status is None:
            time.sleep(0.1)
        return submitit.helpers.DelayedSubmission(RequeuedCommand(self._command, self._directory))

    def _wait(self) -> None:
        self._status = self._process.wait()

    def _was_interrupted(self) -> bool:
        """By the run's own word where it has one: torchrun gives the status 1 after a signal."""
        path = self._directory / "result.json"
        is_saved = path.is_file() and json.loads(path.read_text())["status"] == "preempted"
        return is_saved or self._status in _SIGNALLED

    def __getstate__(self) -> dict[str, Any]:
        return {"_command": self._command, "_directory": self._directory, "_status": None}
