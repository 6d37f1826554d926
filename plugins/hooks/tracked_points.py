"""The points that a tracker is to have, in a file beside the run that a resumed run cuts back to its checkpoint.

{"id": "k3j2h1g0"}                            the first line: the id of the run, made once
{"step": 20, "values": {"train/total_loss": 4.1}}    null stands for a number that is not finite
{"summary": {...}}                            what came out on the test split
{"is_ended": true}                            the tracker has all of the above
"""

import json
import logging
import math
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from emprot_core.checkpoint.appended import AppendedFiles, Measured

_log = logging.getLogger("emprot")


class TrackedPoints:
    """The points of a run by step, and the id under which the tracker knows it."""

    def __init__(self, folder: Path | None, name: str):
        """If folder is None, all is kept in memory. What an earlier start left is there after `read` or `cut_back`."""
        self.folder, self._name = folder, name
        self._file = AppendedFiles(folder, name) if folder is not None else None
        self._clear()

    @property
    def last(self) -> int:
        """The last step that has a point; -1 if there is none."""
        return max(self.values, default=-1)

    def between(self, after: int, until: int) -> list[int]:
        """The steps with a point, in order: those above `after`, up to `until`."""
        return sorted(step for step in self.values if after < step <= until)

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Add numbers to those of a step."""
        finite = {name: value if math.isfinite(value) else None for name, value in values.items()}
        self._append({"step": step, "values": finite})

    def summarise(self, summary: Mapping[str, Any]) -> None:
        self._append({"summary": summary})

    def end(self) -> None:
        """Note that the tracker has everything."""
        self._append({"is_ended": True})

    def measure(self) -> Measured:
        """How much the file holds; empty if there is none."""
        return self._file.measure() if self._file is not None else {}

    def cut_back(self, measured: Measured) -> None:
        """Forget what came after a checkpoint. The file of another training is moved aside."""
        if self._file is not None:
            self._file.cut_back(measured)
        self.read()

    def read(self) -> None:
        """Take what the file holds. A line that is damaged, or torn by a kill, is left out with a warning."""
        self._clear()
        path = self.folder / self._name if self.folder is not None else None
        if path is None or self._file is None or not path.is_file():
            return
        data = path.read_bytes()
        if not data.endswith(b"\n"):
            self._file.append(self._name, b"\n")
        for line in filter(None, data.split(b"\n")):
            try:
                self._take(json.loads(line))
            except (ValueError, TypeError, KeyError, AttributeError):
                _log.warning("%s has a line that cannot be read; the tracker will lack its numbers", path)

    def _clear(self) -> None:
        self.id, self.is_ended = "", False
        self.values: dict[int, dict[str, float]] = {}
        self.summary: dict[str, Any] = {}

    def _append(self, record: dict[str, Any]) -> None:
        new = [record] if self.id else [{"id": uuid.uuid4().hex[:8]}, record]
        if self._file is not None:
            self._file.append(self._name, "".join(json.dumps(each) + "\n" for each in new).encode())
        for each in new:
            self._take(each)

    def _take(self, record: dict[str, Any]) -> None:
        self.id = record.get("id", self.id)
        self.is_ended = "is_ended" in record
        self.summary = record.get("summary", self.summary)
        if "step" in record:
            values = {name: math.nan if value is None else value for name, value in record["values"].items()}
            self.values.setdefault(record["step"], {}).update(values)
