"""Runs as forks of one process that has everything imported: they begin at once, die alone, and are compared.

As a program it is that process, spoken to in lines of JSON (class Runs does):

    {"start": [argument, ...], "directory": path, "environment": {...}, "log": path}  ->  the pid
    {"wait": pid, "options": of waitpid}                                              ->  its exit status, -9 if killed

Arguments are those of emprot-run, or "--call", the path of a Python file, and a function in it.
Of the environment, SABOTAGE = "module:attribute number moment" sends a signal from within the run: SIGKILL before or
after the number-th call of a function, SIGTERM or SIGSTOP before it (moment terminate or stop); FILE_SIZE_LIMIT is the
quota of a full disk, in bytes.
"""

import contextlib
import importlib
import io
import json
import os
import resource
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

SIGNALS = {
    "before": signal.SIGKILL,
    "after": signal.SIGKILL,
    "terminate": signal.SIGTERM,
    "stop": signal.SIGSTOP,
}


def bind(*bindings: str) -> list[str]:
    """The arguments of emprot-run that override a config."""
    return [f"--gin_bindings={binding}" for binding in bindings]


DEBUG = ["--gin_file=debug.gin", *bind("run.directory='run'", "Train.baselines=[]")]
# Accumulation, validation within epochs, dropout, a moving average, early stopping: 3 steps an epoch.
RUN = [
    *DEBUG,
    *bind(
        "Trainer.max_epochs=8",
        "Trainer.max_steps=24",
        "Trainer.grad_accum_steps=2",
        "Trainer.validate_every_steps=2",
        "Trainer.log_every_steps=1",
        "Trainer.extra_hooks=[@hooks.EMA()]",
        "Checkpoint.every_steps=2",
        "Checkpoint.keep_best=2",
        "EarlyStopping.patience=2",
        "EarlyStopping.min_delta=0.1",
    ),
]


def output(directory: Path) -> str:
    return (directory / "output.txt").read_text()


class Runs:
    """Starts runs, each in a directory of its own, where its output goes to output.txt."""

    def __init__(self) -> None:
        # One thread: the models are tiny, and several runs may share two cores.
        self._server = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    def start(self, directory: Path, arguments: list[str], **environment: str) -> int:
        """The pid of a new run."""
        directory.mkdir(exist_ok=True)
        log = str(directory / f"output{environment.get('RANK', '')}.txt")
        return self._ask({"start": arguments, "directory": str(directory), "environment": environment, "log": log})

    def wait(self, pid: int) -> int:
        """The exit status of a run, negative if a signal ended it."""
        return self._ask({"wait": pid})

    def ranks(self, number: int, directory: Path, arguments: list[str], **environment: str) -> list[int]:
        """The pids of the ranks of a run, as torchrun would start them; SABOTAGE_1 is that of rank 1."""
        common = {name: value for name, value in environment.items() if not name.startswith("SABOTAGE_")}
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "WORLD_SIZE": str(number)}
        pids = []
        for rank in range(number):
            own = {"SABOTAGE": environment[f"SABOTAGE_{rank}"]} if f"SABOTAGE_{rank}" in environment else {}
            number_of = {"RANK": str(rank), "LOCAL_RANK": str(rank)}
            pids.append(self.start(directory, arguments, **common, **place, **number_of, **own))
        return pids

    def wait_until_stopped(self, pid: int) -> None:
        """Wait until a run is held by SIGSTOP."""
        assert self._ask({"wait": pid, "options": os.WUNTRACED}) == signal.SIGSTOP

    def __call__(self, directory: Path, arguments: list[str], **environment: str) -> int:
        return self.wait(self.start(directory, arguments, **environment))

    def close(self) -> None:
        self._server.stdin.close()
        self._server.wait()
        self._server.stdout.close()

    def _ask(self, request: dict[str, Any]) -> int:
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        return int(self._server.stdout.readline())


def assert_same_outcome(run: Path, whole: Path, ignoring: Sequence[str] = ()) -> None:
    """The same bits in two run directories: all state at the end (but some keys), the logs, the result, the scalars."""
    from emprot_core.checkpoint import load_checkpoint

    names = [sorted(path.name for path in (each / "checkpoints").iterdir()) for each in (run, whole)]
    assert names[0] == names[1], names
    assert "final.pt" in names[0]
    for name in {"final.pt", "best.pt"} & set(names[0]):  # no loss of a validation was finite: there is no best
        states = [load_checkpoint(each / "checkpoints" / name) for each in (run, whole)]
        _assert_same(*(_comparable(state, ignoring) for state in states))
    results = [json.loads((each / "result.json").read_text()) for each in (run, whole)]
    _assert_same(*(_comparable(result, ["sha256", *ignoring]) for result in results))
    for name in ("metrics.jsonl", "steps.bin"):
        assert (run / name).read_bytes() == (whole / name).read_bytes()
    assert scalars(run) == scalars(whole)
    _assert_steps_increase(run)


def scalars(run: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard shows of a run, but for what depends on the clock: tag -> (step, value)."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run), size_guidance={"scalars": 0}).Reload()
    tags = [tag for tag in events.Tags()["scalars"] if not tag.startswith("time/")]
    return {tag: [(event.step, repr(event.value)) for event in events.Scalars(tag)] for tag in tags}


def _assert_steps_increase(run: Path) -> None:
    """Of every tag, over the event files as they lie on the disk, whatever a reader would purge."""
    from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader

    steps: dict[str, int] = {}
    for path in sorted(run.glob("events.out.tfevents*")):
        for event in LegacyEventFileLoader(str(path)).Load():
            for value in event.summary.value:
                assert event.step > steps.get(value.tag, -1), value.tag
                steps[value.tag] = event.step


def _comparable(state: dict[str, Any], ignoring: Sequence[str]) -> dict[str, Any]:
    """Without the sizes of the log files, which depend on how often it was started, and hashes of event files."""
    if "files" in state:
        state = {**state, "files": {name: digest for name, digest in state["files"].items() if "tfevents" not in name}}
    hooks = {hook: {k: v for k, v in s.items() if k != "appended"} for hook, s in state.get("hooks", {}).items()}
    return {key: value for key, value in {**state, "hooks": hooks}.items() if key not in ignoring}


def _assert_same(a: Any, b: Any) -> None:
    import torch

    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            _assert_same(a[key], b[key])
    elif isinstance(a, (list, tuple)):
        for one, other in zip(a, b, strict=True):
            _assert_same(one, other)
    elif isinstance(a, torch.Tensor):
        assert torch.equal(a, b) or torch.allclose(a, b, rtol=0, atol=0, equal_nan=True)
    else:
        assert a == b or (a != a and b != b)  # NaN is as good as NaN


def _serve() -> None:
    with tempfile.TemporaryDirectory() as directory, contextlib.redirect_stderr(io.StringIO()):
        os.chdir(directory)
        _run(
            ["--gin_file=debug.gin", *bind("Trainer.max_steps=1", "Train.baselines=[]")]
        )  # torch imports a thousand modules when they are first needed
    for line in sys.stdin:
        request = json.loads(line)
        print(_start(request) if "start" in request else _wait(request["wait"], request.get("options", 0)), flush=True)


def _start(request: dict[str, Any]) -> int:
    pid = os.fork()
    if pid:
        return pid
    status = 70
    try:
        with open(request["log"], "ab", buffering=0) as log:
            for stream in (1, 2):
                os.dup2(log.fileno(), stream)
        os.chdir(request["directory"])
        os.environ.update(request["environment"])
        status = _run(request["start"])
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def _run(arguments: list[str]) -> int:
    from emprot_core.cli import main

    if "FILE_SIZE_LIMIT" in os.environ:
        limit = int(os.environ["FILE_SIZE_LIMIT"])
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    if "SABOTAGE" in os.environ:
        _arm(*os.environ["SABOTAGE"].split())
    if arguments[0] == "--call":
        path, function = arguments[1:]
        return runpy.run_path(path)[function]() or 0
    return main(arguments)


def _wait(pid: int, options: int) -> int:
    status = os.waitpid(pid, options)[1]
    return os.WSTOPSIG(status) if os.WIFSTOPPED(status) else os.waitstatus_to_exitcode(status)


def _arm(target: str, number: str, moment: str) -> None:
    module, _, path = target.partition(":")
    *owners, name = path.split(".")
    owner: Any = importlib.import_module(module)
    for each in owners:
        owner = getattr(owner, each)
    function, calls = getattr(owner, name), 0

    def counted(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls != int(number):
            return function(*arguments, **named)
        result = function(*arguments, **named) if moment == "after" else None
        os.kill(os.getpid(), SIGNALS[moment])
        return result if moment == "after" else function(*arguments, **named)

    setattr(owner, name, counted)


if __name__ == "__main__":
    _serve()
