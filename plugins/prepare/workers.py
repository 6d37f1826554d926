"""Spreads work over processes."""

import multiprocessing
import os
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

import torch

from emprot_core.conformance.blame import explain
from emprot_core.errors import EmprotError

Shared = TypeVar("Shared")
Result = TypeVar("Result")
_shared: list[Any] = []
"""What a worker process received when it started; it is sent once, not with every task."""


def run_in_workers(
    function: Callable[..., Result],
    shared: Shared,
    tasks: Iterable[tuple[Any, ...]],
    num_workers: int,
) -> Generator[tuple[Any, Result | ValueError], None, None]:
    """Run function(shared, *task) on each task; as they finish, yield task[0] and the result or its ValueError.

    With one worker the work is done in this process. Otherwise processes are spawned, so that libraries
    with threads are safe; arguments and results must be picklable. If the caller stops early, tasks that have not begun
    are dropped.

    If a process ends without a word, because a damaged file crashed its library or it took too much memory, each task
    that is left has a process of its own. The task that ends that one, too, gives an EmprotError.
    """
    tasks = list(tasks)
    if num_workers <= 1:
        for task in tasks:
            yield task[0], _attempt(function, shared, task)
        return
    left = {task[0]: task for task in tasks}
    try:
        for name, result in _in_pool(function, shared, tasks, min(num_workers, len(tasks))):
            del left[name]
            yield name, result
    except BrokenProcessPool:
        for name, task in left.items():
            try:
                yield from _in_pool(function, shared, [task], 1)
            except BrokenProcessPool:
                yield (
                    name,
                    EmprotError(
                        f"{name}: the process that read it ended without a word: the file is damaged, or takes too "
                        "much memory; copy it again, or leave it out"
                    ),
                )


def _in_pool(
    function: Callable[..., Result], shared: Any, tasks: Sequence[tuple[Any, ...]], num_workers: int
) -> Iterator[tuple[Any, Result | ValueError]]:
    num_threads = max(1, (os.cpu_count() or 1) // num_workers)
    pool = ProcessPoolExecutor(num_workers, multiprocessing.get_context("spawn"), _share, (shared, num_threads))
    try:
        futures: dict[Future[Result | ValueError], Any] = {pool.submit(_work, function, t): t[0] for t in tasks}
        for future in as_completed(futures):
            yield futures.pop(future), future.result()
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


def _work(function: Callable[..., Result], task: tuple[Any, ...]) -> Result | ValueError:
    try:
        return _attempt(function, _shared[0], task)
    except Exception as error:
        if text := explain(error):  # its traceback does not travel to the first process
            raise EmprotError(text) from error
        raise


def _attempt(function: Callable[..., Result], shared: Any, task: tuple[Any, ...]) -> Result | ValueError:
    try:
        return function(shared, *task)
    except ValueError as error:
        return error
