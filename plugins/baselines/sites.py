"""Sites: a residue of a protein, for tables that know each residue by itself."""

import numpy as np

from emprot_core.errors import EmprotError

from .positions import Positions
from .tally import find

_RESIDUES_PER_PROTEIN = 1 << 16


class Sites:
    """Numbers the (protein, residue) pairs, so that a protein seen in training is recognised in any other batch.

    A batch names a protein by the hash of its name, which is too large to build keys from. Here the proteins are
    numbered 0, 1, 2 ... in the order in which training showed them.
    """

    def __init__(self, groups: np.ndarray | None = None):
        """groups: (G,) int64 the hashes of the proteins, in the order of their numbers; None: no protein yet."""
        self.groups = np.zeros(0, np.int64) if groups is None else groups

    def learn(self, at: Positions) -> np.ndarray:
        """(P,) the number of each position's site, 0 or more, after new proteins have got theirs; see find."""
        self.groups = np.append(self.groups, np.setdiff1d(at.group, self.groups))
        return self.find(at)

    def find(self, at: Positions) -> np.ndarray:
        """(P,) the number of each position's site, negative in a protein never seen.

        Raises:
            EmprotError: the batch has no group_ids, or a protein has more than 65,536 residues.
        """
        if (at.group < 0).any():
            raise EmprotError(
                "the batch has no 'group_ids'; this baseline needs them to tell proteins apart: add (B,) long"
            )
        if (at.residue >= _RESIDUES_PER_PROTEIN).any():
            raise EmprotError(f"a protein has more than {_RESIDUES_PER_PROTEIN} residues; leave it out, or cut it")
        order = np.argsort(self.groups)
        place, found = find(self.groups[order], at.group)
        return np.where(found, order[place] * _RESIDUES_PER_PROTEIN + at.residue, -1)
