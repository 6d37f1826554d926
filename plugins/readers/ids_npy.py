"""Reads cluster IDs that the user provides in NPY or NPZ files."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from emprot_core.contracts import Structure
from emprot_core.errors import EmprotError
from emprot_core.files import UNREADABLE
from emprot_core.registry import register

from .chunks import frame_slices
from .layout import fill_in, match_layout


@register("reader", "ids_npy")
class IdsNpy:
    """Reads one trajectory per file: integers (frames, residues), -1 where an ID is unknown. No pickle.

    An NPY file is memory-mapped; an NPZ file is compressed, so it is held in memory. Use it with
    tokenizers.precomputed.
    """

    def __init__(
        self, array: str = "cluster_ids", group: str = "", time_step_ns: float = float("nan"), layout: str = ""
    ):
        """
        Args:
            array: name of the array in NPZ files.
            group: the protein; replicas must share it. It may contain fields of the layout.
            time_step_ns: time between frames; NaN if unknown.
            layout: how the paths end, with fields, as in `{protein}_run{replica}.npy` with group = '{protein}'.
        """
        self.array, self.group, self.time_step_ns, self.layout = array, group, time_step_ns, layout

    def read(self, path: Path) -> Iterator[Structure]:
        """
        Raises:
            EmprotError: the file is damaged, lacks the array, or the array is not a table of integers.
        """
        path = Path(path)
        group = fill_in(self.group, match_layout(self.layout, path), "readers.ids_npy.group")
        ids = self._load(path)
        if ids.ndim != 2 or 0 in ids.shape or not np.issubdtype(ids.dtype, np.integer):
            raise EmprotError(
                f"{path} holds {ids.dtype} of shape {ids.shape}, expected integers of shape (frames, residues), one of "
                "each or more; convert or reshape them"
            )
        for frames in frame_slices(*ids.shape):
            yield ids_structure(np.array(ids[frames]), group, self.time_step_ns)

    def _load(self, path: Path) -> np.ndarray:
        try:
            if path.suffix.lower() != ".npz":
                return np.load(path, mmap_mode="r", allow_pickle=False)
            with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
                if self.array not in file.files:
                    raise EmprotError(f"it has no array {self.array!r}, but {file.files}; bind ids_npy.array")
                return file[self.array]
        except UNREADABLE as error:
            raise EmprotError(f"{path} cannot be read as an array ({error})") from error


def ids_structure(
    ids: np.ndarray,
    group: str,
    time_step_ns: float,
    segments: np.ndarray | None = None,
    residues: np.ndarray | None = None,
    notes: tuple[str, ...] = (),
) -> Structure:
    """A Structure of cluster IDs (frames, residues) without coordinates."""
    return Structure(
        coordinates=np.empty((*ids.shape, 0, 3), np.float32),
        segments=np.zeros(ids.shape[1], np.int32) if segments is None else segments,
        residues=residues,
        group=group,
        time_step_ns=time_step_ns,
        cluster_ids=ids,
        notes=notes,
    )
