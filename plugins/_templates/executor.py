"""An executor: the workers that share the tasks of a Prepare."""

from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager

from emprot_core import register


@register("executor")
class TemplateExecutor:
    """Threads of this process, for readers that wait for a slow disk."""

    def __init__(self, num_threads: int = 2):
        """
        Args:
            num_threads: how many files are read at a time.
        """
        self.num_threads = num_threads

    @contextmanager
    def start(self) -> Iterator[futures.Executor]:
        """The threads, until the block ends."""
        with futures.ThreadPoolExecutor(self.num_threads) as threads:
            yield threads
