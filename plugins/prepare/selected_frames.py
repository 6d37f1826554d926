"""Frames of trajectories that are chosen by number or by time: a reader around another one."""

import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from emprot_core.contracts import Reader, Structure, UsesOtherFiles
from emprot_core.errors import EmprotError

from .reading import read_chunks

Place = int | str
"""A number of frames, or a time such as '10 ns'."""
_TIME = re.compile(r"\s*([0-9.]+(?:[eE][+-]?\d+)?)\s*(ns|ps|us)\s*")
_NS = {"ns": 1.0, "ps": 1e-3, "us": 1e3}


class SelectedFrames:
    """Reads every stride-th frame from `start` to before `stop`. The time step grows with the stride."""

    def __init__(self, reader: Reader, start: Place, stop: Place | None, stride: Place):
        """
        Raises:
            EmprotError: a number is negative or no number, or the stride is 0.
        """
        self.reader, self.start, self.stop, self.stride = reader, start, stop, stride
        for name, value, least in (("start", start, 0), ("stop", stop, 1), ("stride", stride, 1)):
            if isinstance(value, str):
                if _TIME.fullmatch(value) is None:
                    raise EmprotError(f"Prepare.{name} is {value!r}, expected a number of frames, or a time: '10 ns'")
            elif value is not None and value < least:
                raise EmprotError(f"Prepare.{name} is {value}, expected {least} or more frames, or a time: '10 ns'")

    @property
    def takes_all(self) -> bool:
        return (self.start, self.stop, self.stride) == (0, None, 1)

    def description(self) -> dict[str, Any]:
        """What a store keeps of the choice; nothing if all frames are taken."""
        return {} if self.takes_all else {"start": self.start, "stop": self.stop, "stride": self.stride}

    def other_files(self, path: Path) -> Sequence[Path]:
        """Those of the reader."""
        return self.reader.other_files(path) if isinstance(self.reader, UsesOtherFiles) else []

    def read(self, path: Path) -> Iterator[Structure]:
        """The chunks of the reader, cut to the chosen frames.

        Raises:
            EmprotError: no frame is left, or a time is given and the time step is unknown or no part of it.
        """
        first, taken = 0, 0
        for chunk in read_chunks(self.reader, path):
            start, stop, stride = (self._frames(name, chunk.time_step_ns, path) for name in ("start", "stop", "stride"))
            frames = np.arange(first, first + len(chunk.coordinates))
            kept = (frames >= start) & (frames < stop) & ((frames - start) % stride == 0)
            first += len(frames)
            if kept.any():
                taken += int(kept.sum())
                yield _take(chunk, kept, int(stride))
            if first >= stop:
                break
        if first and not taken:
            raise EmprotError(
                f"{path} has {first} frames, of which start = {self.start}, stop = {self.stop} and stride = "
                f"{self.stride} leave none; correct Prepare.start and Prepare.stop"
            )

    def _frames(self, name: str, time_step_ns: float, path: Path) -> float:
        value = getattr(self, name)
        if not isinstance(value, str):
            return math.inf if value is None else value
        match = _TIME.fullmatch(value)
        assert match is not None  # the constructor looked
        if math.isnan(time_step_ns):
            raise EmprotError(
                f"{path}: Prepare.{name} is {value!r}, but the time between frames is unknown; give the reader's "
                "time_step_ns, or a number of frames"
            )
        frames = float(match[1]) * _NS[match[2]] / time_step_ns
        if abs(frames - round(frames)) > 1e-3 * max(1.0, frames) or (name == "stride" and round(frames) < 1):
            raise EmprotError(
                f"{path}: Prepare.{name} is {value!r}, which is {frames:g} frames of {time_step_ns:g} ns; expected a "
                "whole number of frames"
            )
        return round(frames)


def _take(chunk: Structure, kept: np.ndarray, stride: int) -> Structure:
    ids: Any = None if chunk.cluster_ids is None else chunk.cluster_ids[kept]
    step = chunk.time_step_ns * stride
    return chunk._replace(coordinates=chunk.coordinates[kept], cluster_ids=ids, time_step_ns=step)
