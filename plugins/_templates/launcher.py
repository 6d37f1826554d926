"""A launcher: where the processes of a run are started."""

import os
import subprocess
import sys
from pathlib import Path

from emprot_core import register
from emprot_core.contracts import LAUNCHED


@register("launcher")
class TemplateLauncher:
    """Starts a run in the background, with a lower priority."""

    def __init__(self, niceness: int = 10):
        """
        Args:
            niceness: 0 to 19; the higher, the more others come first.
        """
        self.niceness = niceness

    def command(self, arguments: list[str]) -> list[str]:
        """The command line of one run."""
        return ["nice", "-n", str(self.niceness), sys.executable, "-m", "emprot_core", *arguments]

    def submit(self, command: list[str], directory: Path) -> str:
        """Start it, and say so."""
        with (directory / "output.txt").open("ab") as log:
            process = subprocess.Popen(command, env={**os.environ, LAUNCHED: "1"}, stdout=log, stderr=log)
        return f"process {process.pid} has begun; see {directory}/output.txt"
