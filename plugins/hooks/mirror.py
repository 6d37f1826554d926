"""Keeps a copy of a run behind an address, and brings it back where the directory of the run is empty."""

import logging

from emprot_core.distributed import barrier, rank
from emprot_core.hooks.base import Hook, TrainerView
from emprot_core.registry import register

from .mirrored_files import MirroredFiles
from .remote_folder import Unreachable

_log = logging.getLogger("emprot")


@register("hook")
class Mirror(Hook):
    """Copies the run directory to an address after each written checkpoint, and back into an empty directory.

    The copy is a run directory too. A kill at any moment leaves one that training goes on from. A push that fails is a
    warning, and is tried again at the next checkpoint.
    """

    def __init__(self, url: str):
        """
        Args:
            url: an address that fsspec knows, such as s3://bucket/runs/base (extra `remote`, and the package for that
                kind of address). {name} in it stands for the name of the run directory, so that each run of a sweep has
                an address of its own.
        """
        self.url = url
        self._files: MirroredFiles | None = None
        self._has_failed = False

    def on_run_start(self, trainer: TrainerView) -> None:
        """Bring the run back, if the directory holds none and the address does.

        Raises:
            EmprotError: a file at the address is not what was pushed, the address has the copy of another run, or it
                cannot be read or written and the directory holds no run that was copied before.
        """
        directory = trainer.run.directory
        if directory is not None and rank() == 0:
            self._files = MirroredFiles(self.url.replace("{name}", directory.resolve().name), directory)
            try:
                self._files.meet()
            except Unreachable as error:
                if not self._files.belong_together():
                    raise
                self._warn(error)
        barrier()

    def on_save_end(self, trainer: TrainerView) -> None:
        if self._files is not None:
            try:
                self._files.push()
                self._has_failed = False
            except (ValueError, OSError) as error:  # an EmprotError is a ValueError, and so is a damaged record
                self._warn(error)

    def on_run_end(self, trainer: TrainerView) -> None:
        self._has_failed = False  # a copy that is still behind is told once more
        self.on_save_end(trainer)

    def _warn(self, error: Exception) -> None:
        if not self._has_failed:
            _log.warning("the copy of the run is behind: %s; it is tried again after each checkpoint", error)
        self._has_failed = True
