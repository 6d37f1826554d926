"""Runs the trials of a sweep in processes of their own, several at a time, beside other workers here and elsewhere."""

import json
import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from emprot_core.words import first_of

from .ledger import FAILED, FINISHED, FREE, PRUNED, Ledger, Trial
from .values import overrides

_SECONDS = 0.2  # between two looks
_MOST_DEATHS = 3
"""A process that a signal ended is started again, because the machine may have run out of memory, or somebody
interrupted it; a trial that dies so often at this worker counts as failed."""
_PREEMPTED = (129, 130, 143)
_log = logging.getLogger("emprot")


class _Running(NamedTuple):
    trial: Trial
    process: subprocess.Popen[bytes]
    claim: int


class Worker:
    """Takes trials that nobody has, until all have ended."""

    def __init__(
        self,
        ledger: Ledger,
        command: Callable[[list[str]], list[str]],
        num_jobs: int,
        prune: Callable[[Trial], str | None] | None = None,
    ):
        """
        Args:
            command: from the arguments of emprot-run that belong to a trial to a whole command line.
            prune: why a running trial should end early; asked after each of its validations.
        """
        self._ledger, self._command, self._num_jobs, self._prune = ledger, command, num_jobs, prune
        self._running: list[_Running] = []
        self._pruned: dict[int, str] = {}
        self._deaths: dict[int, int] = {}
        self._seen: dict[int, int] = {}  # bytes of metrics.jsonl at the last look
        self._signal: int | None = None

    def run(self, next_trial: Callable[[set[int]], Trial | None], is_done: Callable[[], bool]) -> int:
        """Work until `is_done`.

        Args:
            next_trial: one that is free, whose number is in no such set; None while there is none.

        Returns:
            0, or the exit status of the signal that ended the work.
        """
        with self._signals():
            while self._signal is None:
                self._end_some()
                others: set[int] = {each.trial.number for each in self._running}
                while len(self._running) < self._num_jobs and (trial := next_trial(others)) is not None:
                    others.add(trial.number)
                    self._start(trial)
                if not self._running and is_done():
                    return 0
                time.sleep(_SECONDS)
            self._leave()
        return 128 + self._signal

    def _start(self, trial: Trial) -> None:
        claim = self._ledger.claim(trial)
        if claim is None:
            return
        if self._ledger.state(trial) != FREE:  # another worker ended it just now
            os.close(claim)
            return
        arguments = [*overrides(trial.values), f"run.directory={trial.directory}"]
        environment = {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // self._num_jobs)), **os.environ}
        verb = "goes on" if (trial.directory / "checkpoints").is_dir() else "begins"
        with self._ledger.log(trial).open("ab") as log:
            process = subprocess.Popen(
                self._command(arguments),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                pass_fds=[claim],
            )
        self._running.append(_Running(trial, process, claim))
        _log.info("trial %d %s: %s", trial.number, verb, ", ".join(overrides(trial.values)))

    def _end_some(self) -> None:
        for each in list(self._running):
            if each.process.poll() is not None:
                self._running.remove(each)
                self._note_end(each.trial, each.process.returncode)
                os.close(each.claim)
            elif (why := self._why_to_prune(each.trial)) is not None:
                self._pruned[each.trial.number] = why
                each.process.terminate()

    def _note_end(self, trial: Trial, status: int) -> None:
        if self._ledger.state(trial) == FINISHED:
            _log.info("trial %d is finished: %s", trial.number, _figures(self._ledger.result(trial)))
        elif trial.number in self._pruned:
            self._end(trial, PRUNED, self._pruned[trial.number])
        elif status < 0 or status in _PREEMPTED:
            deaths = self._deaths[trial.number] = self._deaths.get(trial.number, 0) + 1
            if deaths >= _MOST_DEATHS:
                self._end(trial, FAILED, f"it was ended by signals {deaths} times, the last time with status {status}")
        else:
            self._end(trial, FAILED, f"exit status {status}: {_last_line(self._ledger.log(trial))}")

    def _end(self, trial: Trial, state: str, why: str) -> None:
        self._ledger.end(trial, state, why)
        _log.info("trial %d is %s: %s; see %s", trial.number, state, why, self._ledger.log(trial))

    def _why_to_prune(self, trial: Trial) -> str | None:
        """Asked only once after each validation."""
        if self._prune is None or trial.number in self._pruned:
            return None
        path = trial.directory / "metrics.jsonl"
        size = path.stat().st_size if path.exists() else 0
        before, self._seen[trial.number] = self._seen.get(trial.number, 0), size
        return self._prune(trial) if size > before else None

    def _leave(self) -> None:
        """Let the trials save and end; the same command goes on with them."""
        for each in self._running:
            each.process.terminate()
        for each in self._running:
            each.process.wait()
            os.close(each.claim)
        _log.info("the sweep was interrupted; the same command goes on from there")

    @contextmanager
    def _signals(self) -> Iterator[None]:
        def note(number: int, _: Any) -> None:
            self._signal = number

        before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def validation_losses(trial: Trial) -> dict[int, float]:
    """By step val/total_loss of a run that goes on; a line that is being written is left out."""
    path = trial.directory / "metrics.jsonl"
    found = {}
    for line in path.read_text().splitlines() if path.is_file() else ():
        try:
            record = json.loads(line)
            found[int(record["step"])] = float(record["val/total_loss"])
        except (ValueError, KeyError, TypeError):
            continue
    return found


def _figures(result: dict[str, Any]) -> str:
    told = [f"validation loss {best:.4f}"] if (best := result.get("best", {}).get("val/total_loss")) is not None else []
    if test := result.get("test"):
        told.append(
            f"test NLL {first_of([f'{bits:.3f}' for bits in test['model']['nll_bits'] if bits is not None])} bits"
        )
    return ", ".join(told) or str(result.get("stop_reason", ""))


def _last_line(path: Path) -> str:
    lines: Sequence[str] = path.read_text(errors="replace").splitlines() if path.exists() else []
    told = [line.strip() for line in lines if line.strip() and "--debug shows" not in line]
    return next(
        (line for line in reversed(told) if line.startswith("error:")), told[-1] if told else "it printed nothing"
    )
