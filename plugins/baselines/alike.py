"""Two parts of mixtures that know which classes are alike: those that occur together in the residues of training."""

import numpy as np

from emprot_core.batch import MISSING_ID

from .parts import ClassTable, Unigram
from .positions import Positions
from .sites import Sites
from .tally import Counts, CountTable, Entries, sum_by_key

_PRIOR = 5.0  # how many observations m is worth beside the residue's own frames
_FULL_ROW = 8  # a row of M with an entry in one of so many classes is kept as a full row, for matrix products
_ENTRIES = 1 << 16  # of the tables of sites, taken at once while M is added up


class Alike:
    """m(y) = mean over the past frames s of (M(x_s, y) + U(y)) / (n(x_s) + 1), and (count of y + 5 m(y)) / (n + 5).

    M(a, y) is the sum over the residues r of training of count_r(a) count_r(y) / n_r, so n(a) is how often a was seen.
    The order of the frames plays no part. The second part counts y among the n frames of the batch up to the last one
    that are known. Where there is none, both are the unigram U. M costs memory for the pairs of classes seen at one
    residue only.
    """

    num = 2

    def __init__(self, pairs: Counts, own: CountTable, sites: Sites, unigram: Unigram):
        """
        Args:
            pairs: M, with keys a C + y.
            own: count_r(y), its rows the numbers of the sites. It is read only to leave out what a residue itself has
                added to M.
            sites: gives these numbers.
        """
        num_clusters = own.num_clusters
        self._own, self._sites, self._unigram = own, sites, unigram
        self._pairs = CountTable(*np.divmod(pairs.keys, num_clusters), pairs.counts, num_clusters)
        rows = self._pairs.entries(np.arange(num_clusters))
        full = np.bincount(rows.query, minlength=num_clusters) * _FULL_ROW >= num_clusters
        self._place = np.where(full, np.cumsum(full) - 1, -1)  # (C,) of each class among the full rows, or -1
        self._full = np.zeros((full.sum(), num_clusters))  # at most _FULL_ROW values for each pair
        held = full[rows.query]
        self._full[self._place[rows.query[held]], rows.ids[held]] = rows.counts[held]

    def of(self, at: Positions, ids: np.ndarray, left_out: int = 0) -> np.ndarray:
        """left_out: anything but 0 takes all that the residue itself has added out of M."""
        shown, common = shown_classes(at), self._unigram.of(at, ids)[0]
        together, total = self._pairs.count(shown.ids, ids[shown.query]), self._pairs.total(shown.ids)
        if left_out:
            site = self._sites.find(at)
            own = self._own.count(site[shown.query], shown.ids)
            frequency = self._own.count(site, ids) / np.maximum(self._own.total(site), 1)
            together, total = together - own * frequency[shown.query], total - own
        known = _sums(at, shown, shown.counts)
        summed = _sums(at, shown, shown.counts * (together + common[shown.query]) / (total + 1))
        mean = np.where(known > 0, summed / np.maximum(known, 1), common)
        seen = _sums(at, shown, shown.counts * (shown.ids == ids[shown.query]))
        return np.stack([mean, (seen + _PRIOR * mean) / (known + _PRIOR)])

    def add_to(self, table: ClassTable, at: Positions, weights: np.ndarray) -> None:
        shown = shown_classes(at)
        known = _sums(at, shown, shown.counts)
        of_frame = weights[1] / (known + _PRIOR)
        of_mean = weights[0] + _PRIOR * of_frame
        share = (of_mean / np.maximum(known, 1))[shown.query] * shown.counts / (self._pairs.total(shown.ids) + 1)
        table.add(shown.query, shown.ids, of_frame[shown.query] * shown.counts)
        table.unigram += np.where(known > 0, _sums(at, shown, share), of_mean)
        self._add_rows(table, at, shown, share)

    def _add_rows(self, table: ClassTable, at: Positions, shown: Entries, share: np.ndarray) -> None:
        """Add the shares of the rows of M: of full rows by a matrix product, of the others entry by entry."""
        place, num_full = self._place[shown.ids], len(self._full)
        full, sparse = place >= 0, place < 0
        if num_full:
            of_row = np.bincount(
                shown.query[full] * num_full + place[full], share[full], minlength=len(at.history) * num_full
            )
            position, ids = np.arange(len(at.history))[:, None], np.arange(self._full.shape[1])
            table.add(position, ids, of_row.reshape(-1, num_full) @ self._full)
        entries = self._pairs.entries(shown.ids[sparse])
        table.add(shown.query[sparse][entries.query], entries.ids, share[sparse][entries.query] * entries.counts)


def pairs_of_classes(sites: np.ndarray, ids: np.ndarray, counts: np.ndarray, num_clusters: int) -> Counts:
    """M of Alike, with keys a C + y, from how often each site showed each ID (E,)."""
    table = CountTable(sites, ids, counts, num_clusters)
    shares = counts / table.total(sites)
    pairs = Counts(np.zeros(0, np.int64), np.zeros(0))
    for start in range(0, len(sites), _ENTRIES):
        rows = slice(start, start + _ENTRIES)
        others = table.entries(sites[rows])
        keys = ids[rows][others.query] * num_clusters + others.ids
        values = shares[rows][others.query] * others.counts
        pairs = sum_by_key(np.append(pairs.keys, keys), np.append(pairs.counts, values))
    return pairs


def shown_classes(at: Positions) -> Entries:
    """The different classes in the past of each position, and in how many of its frames each is; MISSING_ID is none."""
    ordered = np.sort(at.history.astype(np.int32), axis=1)  # half the width sorts faster
    differs = np.ones(ordered.shape, bool)
    np.not_equal(ordered[:, 1:], ordered[:, :-1], out=differs[:, 1:])
    starts = np.flatnonzero(differs)
    ids, counts = ordered.ravel()[starts].astype(np.int64), np.diff(starts, append=ordered.size)
    known = ids != MISSING_ID
    return Entries(starts[known] // ordered.shape[1], ids[known], counts[known])


def _sums(at: Positions, shown: Entries, values: np.ndarray) -> np.ndarray:
    """(P,) the sum over the classes that each position has shown."""
    return np.bincount(shown.query, values, minlength=len(at.history))
