"""The page that Train.report asks for: what `emprot-run --report` writes, made at the end of a training."""

import logging
from pathlib import Path

from emprot_core import config
from emprot_core.distributed import rank
from emprot_core.jobs.context import RunContext

REPORT_FILE = "report.gin"
_log = logging.getLogger("emprot")


def make_report(directory: Path, context: RunContext) -> None:
    """Run the job of report.gin on a finished run. A failure is told, and costs nothing."""
    if rank() != 0:
        return
    try:
        loaded = config.load([REPORT_FILE], overrides=[f"RUNS={[str(directory)]!r}"])
        loaded.parameters("run", lazy={"job"})["job"]().run(context)
    except Exception as error:  # whatever it is: the run itself is finished
        _log.warning("no report: %s; the same later: emprot-run --report %s", error, directory)
