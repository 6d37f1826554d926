"""A reader: a file of a simulation, or of cluster IDs, becomes a Structure."""

from pathlib import Path

import numpy as np

from emprot_core import register
from emprot_core.contracts import Structure
from emprot_core.errors import EmprotError


@register("reader")
class TemplateReader:
    """Cluster IDs from a text file: a line for each frame, a comma between residues, -1 where an ID is unknown."""

    def read(self, path: Path) -> Structure:
        """
        Raises:
            EmprotError: the file is no table of whole numbers.
        """
        try:
            ids = np.loadtxt(path, delimiter=",", dtype=np.int64, ndmin=2)
        except ValueError as error:
            raise EmprotError(f"{path} is no table of cluster IDs ({error})") from error
        nothing = np.empty((*ids.shape, 0, 3), np.float32)  # a reader of IDs gives no coordinates
        return Structure(nothing, np.zeros(ids.shape[1], np.int32), cluster_ids=ids)
