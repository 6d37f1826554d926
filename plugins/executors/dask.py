"""Workers of Dask: on this machine, of a cluster that runs, or of jobs that it submits to a scheduler."""

import os
from collections.abc import Iterator, Mapping
from concurrent import futures
from contextlib import ExitStack, contextmanager
from difflib import get_close_matches
from typing import Any

from emprot_core.errors import EmprotError
from emprot_core.registry import register

_INSTALL = "pip install 'emprot[dask]'"


@register("executor", "dask")
class dask:
    """Spreads the trajectories of a Prepare over workers of Dask (extra `dask`), which may come and go.

    A worker that is lost costs what it was doing: Dask gives it to another one. A task that loses four workers counts
    as one that ends them, and its trajectory as damaged. Every worker must see the same disk, and find the modules of
    the reader and the tokenizers.
    """

    def __init__(
        self,
        address: str | None = None,
        jobqueue: str | None = None,
        num_workers: int = 0,
        options: Mapping[str, Any] | None = None,
    ):
        """
        Args:
            address: of a scheduler that runs, such as tcp://node7:8786, or the path of its scheduler file.
            jobqueue: a class of dask-jobqueue, such as SLURMCluster, which submits the workers as jobs (LocalCluster
                does so without a queue); None, without an address, starts them on this machine.
            num_workers: how many to start; 0 for one a core of this machine.
            options: for the class of dask-jobqueue or, without one, for distributed.LocalCluster; for example
                {"cores": 1, "memory": "4GB", "walltime": "02:00:00"}.

        Raises:
            EmprotError: an address and something to start are given, or the number of workers is below 0.
        """
        if address is not None and (jobqueue is not None or num_workers or options):
            raise EmprotError(
                f"dask.address is {address!r}, so its workers run already; leave jobqueue, num_workers and options out"
            )
        if num_workers < 0:
            raise EmprotError(f"dask.num_workers is {num_workers}, expected a number of workers, or 0 for one a core")
        self._address, self._jobqueue = address, jobqueue
        self._num_workers, self._options = num_workers or os.cpu_count() or 1, dict(options or {})

    @contextmanager
    def start(self) -> Iterator[futures.Executor]:
        """
        Raises:
            ModuleNotFoundError: Dask is not installed.
            EmprotError: no scheduler answers, or dask-jobqueue has no such class.
        """
        try:
            import distributed
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(f"executors.dask needs distributed; {_INSTALL}") from error
        with ExitStack() as stack:
            if self._address is None:
                place: dict[str, Any] = {"address": stack.enter_context(self._cluster(distributed))}
            else:
                place = {"scheduler_file" if os.path.isfile(self._address) else "address": self._address}
            try:
                client = stack.enter_context(distributed.Client(**place, set_as_default=False))
            except (OSError, ValueError) as error:
                raise EmprotError(
                    f"no Dask scheduler answers at {self._address} ({error}); start one with `dask scheduler`, or "
                    "correct dask.address"
                ) from error
            yield client.get_executor(pure=False)

    def _cluster(self, distributed: Any) -> Any:
        if self._jobqueue is None:
            options = {"threads_per_worker": 1, "dashboard_address": "127.0.0.1:0", **self._options}
            return distributed.LocalCluster(n_workers=self._num_workers, **options)
        try:
            import dask_jobqueue
            from dask_jobqueue.local import LocalCluster
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(f"dask.jobqueue needs dask-jobqueue; {_INSTALL}") from error
        known = {name: found for name, found in vars(dask_jobqueue).items() if name.endswith("Cluster")}
        known |= {"LocalCluster": LocalCluster}  # its jobs are processes of this machine
        if self._jobqueue not in known:
            by_lower = {name.lower(): name for name in known}
            near = get_close_matches(self._jobqueue.lower(), by_lower, n=1)
            hint = f"; did you mean {by_lower[near[0]]}?" if near else ""
            raise EmprotError(f"dask.jobqueue is {self._jobqueue!r}, expected one of {', '.join(known)}{hint}")
        cluster = known[self._jobqueue](**self._options)
        cluster.scale(self._num_workers)
        return cluster
