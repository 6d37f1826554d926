"""Spreads work over processes: of this machine, or those of an executor."""

import multiprocessing
import os
import threading
import traceback
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent import futures
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any, NamedTuple, TypeVar

import torch

from emprot_core.conformance.blame import explain
from emprot_core.contracts import Executor
from emprot_core.errors import EmprotError

Shared = TypeVar("Shared")
Result = TypeVar("Result")
Task = tuple[Any, ...]
_shared: list[Any] = []
"""What a worker process of this machine received when it started; it is sent once, not with every task."""


class _Raised(NamedTuple):
    """An exception that is nobody's mistake, or one of a component: it ends all of the work."""

    error: Exception


class _Lost(NamedTuple):
    """A task whose worker ended; what the executor says of it."""

    error: Exception


def run_in_workers(
    function: Callable[..., Result],
    shared: Shared,
    tasks: Iterable[Task],
    num_workers: int,
    executor: Executor | None = None,
) -> Generator[tuple[Any, Result | ValueError], None, None]:
    """Run function(shared, *task) on each task; as they finish, yield task[0] and the result or its ValueError.

    With one worker the work is done in this process. Otherwise processes are spawned, so that libraries with threads
    are safe, or the executor starts them; arguments and results must be picklable. If the caller stops early, tasks
    that have not begun are dropped.

    If a process ends without a word, because a damaged file crashed its library or it took too much memory, each task
    that is left has a process of its own. The task that ends that one, too, gives an EmprotError.
    """
    tasks = list(tasks)
    if executor is None and num_workers <= 1:
        for task in tasks:
            yield task[0], _attempt(function, shared, task)
        return
    call = partial(_work, function) if executor is None else partial(_work_elsewhere, function, shared, os.getcwd())
    lost: list[Task] = []
    for task, result in _spread(_start(executor, shared, min(num_workers, len(tasks))), call, tasks):
        if isinstance(result, _Lost):
            lost.append(task)
        else:
            yield task[0], result
    for task in lost:
        for _, result in _spread(_start(executor, shared, 1), call, [task]):
            yield task[0], _without_a_word(task[0], result) if isinstance(result, _Lost) else result


def _start(executor: Executor | None, shared: Any, num_workers: int) -> AbstractContextManager[futures.Executor]:
    return _processes(shared, num_workers) if executor is None else executor.start()


def _spread(
    start: AbstractContextManager[futures.Executor], call: Callable[[Task], Any], tasks: Sequence[Task]
) -> Iterator[tuple[Task, Any]]:
    """Each task and its result, as they finish. What a future raises is the executor's: its task is lost."""
    with start as workers:
        waiting: dict[futures.Future[Any], Task] = {}
        try:
            for task in tasks:
                waiting[_submit(workers, call, task)] = task
            for future in futures.as_completed(waiting):
                task = waiting.pop(future)
                try:
                    result = future.result()
                except Exception as error:
                    result = _Lost(error)
                if isinstance(result, _Raised):
                    raise result.error
                yield task, result
        finally:
            for future in waiting:
                future.cancel()


def _submit(workers: futures.Executor, call: Callable[[Task], Any], task: Task) -> futures.Future[Any]:
    try:
        return workers.submit(call, task)
    except futures.BrokenExecutor as error:  # an earlier task has ended a process of the pool
        future: futures.Future[Any] = futures.Future()
        future.set_exception(error)
        return future


def _without_a_word(name: Any, lost: _Lost) -> EmprotError:
    error = EmprotError(
        f"{name}: the process that read it ended without a word: the file is damaged, or takes too much memory; "
        f"copy it again, or leave it out ({type(lost.error).__name__}: {lost.error})"
    )
    error.__cause__ = lost.error
    return error


@contextmanager
def _processes(shared: Any, num_workers: int) -> Iterator[futures.Executor]:
    """Spawned processes of this machine."""
    num_threads = max(1, (os.cpu_count() or 1) // num_workers)
    spawn = multiprocessing.get_context("spawn")
    pool = futures.ProcessPoolExecutor(num_workers, spawn, _share, (shared, num_threads))
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _share(shared: Any, num_threads: int) -> None:
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    torch.set_num_threads(num_threads)
    _shared.append(shared)


def _leave_with_parent() -> None:
    """End this process when its parent is killed; otherwise it would wait for tasks forever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _work(function: Callable[..., Result], task: Task) -> Result | ValueError | _Raised:
    """A task in a process of this machine."""
    return _told(function, _shared[0], task)


def _work_elsewhere(
    function: Callable[..., Result], shared: Any, folder: str, task: Task
) -> Result | ValueError | _Raised:
    """A task in a worker of an executor. Relative paths mean there what they mean here."""
    try:
        os.chdir(folder)
    except OSError as error:
        return _Raised(EmprotError(f"a worker cannot enter {folder} ({error}); it must see the same disk as Prepare"))
    return _told(function, shared, task)


def _told(function: Callable[..., Result], shared: Any, task: Task) -> Result | ValueError | _Raised:
    try:
        return _attempt(function, shared, task)
    except Exception as error:
        if text := explain(error):
            return _Raised(EmprotError(text))
        error.add_note(f"in the worker:\n{traceback.format_exc()}")  # a traceback does not travel
        return _Raised(error)


def _attempt(function: Callable[..., Result], shared: Any, task: Task) -> Result | ValueError:
    try:
        return function(shared, *task)
    except ValueError as error:
        return error
