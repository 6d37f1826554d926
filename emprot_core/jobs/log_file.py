"""run.log, the log of a run."""

import contextlib
import logging
import os
from io import TextIOWrapper

from emprot_core.disk import open_own

_log = logging.getLogger("emprot")


class LogFile(logging.FileHandler):
    """A log file that gives up, with one warning, when it cannot be written, for example on a full disk."""

    def _open(self) -> TextIOWrapper:
        return open(self.baseFilename, self.mode, encoding="utf-8", opener=open_own)  # type: ignore[return-value]

    def handleError(self, record: logging.LogRecord) -> None:
        _log.removeHandler(self)
        _log.warning("%s cannot be written any more", self.baseFilename)

    def close(self) -> None:
        with contextlib.suppress(OSError):  # the last lines are lost, but the run's own error matters more
            if self.stream is not None:
                self.flush()
                os.fsync(self.stream.fileno())
        with contextlib.suppress(OSError):
            super().close()
