"""k-means on the shape of the chain around a residue and on how densely the residue is packed."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations
from typing import Any

import numpy as np

from emprot_core.batch import MISSING_ID
from emprot_core.contracts import Structure
from emprot_core.data.store import TrajectoryStore
from emprot_core.errors import EmprotError
from emprot_core.registry import register

from .geometry import CA, dihedral, frame_chunks, unbroken_stretches
from .kmeans import fit_centroids, nearest_centroids, sample_points

WINDOW = 2
"""How many residues on either side define the local shape; the outer two of a stretch therefore have no ID."""
NUM_NEIGHBOURS = 16
MIN_SEPARATION = 4
"""A neighbour is at least this far along an unbroken stretch; any residue of another stretch may be one."""
MAX_FIT_POINTS = 200_000
POINTS_PER_CLUSTER = 20

_PAIRS = [(i, j) for i, j in combinations(range(2 * WINDOW + 1), 2) if j - i > 1]  # adjacent CA are always 3.8 A apart
_NUM_LOCAL = len(_PAIRS) + 4
NUM_FEATURES = _NUM_LOCAL + NUM_NEIGHBOURS


@register("tokenizer", "kmeans_environment")
class KMeansEnvironment:
    """The nearest of C centroids to 26 numbers per residue, which come from the CA atoms alone.

    The numbers are the 6 distances between CA of residues -2 to +2 that are not adjacent, the sine and cosine of the 2
    CA dihedrals of that window, and the distances to the 16 nearest CA in rising order. Each is divided by its standard
    deviation over the training frames. The store keeps the undivided centroids (C, 26) and these scales (26,).
    """

    name = "kmeans_environment"

    def __init__(self, num_clusters: int = 256, centroids: str | None = None, seed: int = 0, device: str = "cpu"):
        """
        Args:
            num_clusters: C, the number of classes.
            centroids: a store made by this tokenizer, or `sample:kmeans_environment`, whose classes are used;
                None learns them from the frames given to `fit`.
            seed: seed of the sample of points and of the k-means seeding.
            device: where the nearest centroid is searched: "cpu" or "cuda", which pays off from thousands of centroids.

        Raises:
            EmprotError: the centroids of the store are not (num_clusters, 26).
        """
        self.num_clusters, self.seed, self.device = num_clusters, seed, device
        self._centroids: np.ndarray | None = None
        self._scales: np.ndarray | None = None
        self._description: Mapping[str, Any] = {}
        if centroids is None:
            return
        store = TrajectoryStore(centroids)
        self._centroids, self._scales = store.array("centroids"), store.array("scales")
        self._description = store.vocabulary.tokenizer
        if self._centroids.shape != (num_clusters, NUM_FEATURES):
            raise EmprotError(
                f"the centroids of {centroids} have shape {self._centroids.shape}, expected "
                f"({num_clusters}, {NUM_FEATURES}); bind kmeans_environment.num_clusters to their number, "
                "or give another store"
            )

    def fit(self, structures: Iterable[Structure]) -> None:
        """Learn scales and centroids from the frames given, unless they were read from a store.

        All residues are used, or a uniform sample if there are more than MAX_FIT_POINTS, or more than
        POINTS_PER_CLUSTER per cluster where that is the larger number.

        Raises:
            EmprotError: there are fewer different residues than clusters, or none that is complete.
        """
        if self._centroids is not None:
            return
        fitted_on: dict[str, int] = {}
        most = max(MAX_FIT_POINTS, POINTS_PER_CLUSTER * self.num_clusters)
        points = sample_points(_training_points(structures, fitted_on), most, self.seed)
        if not len(points):
            raise EmprotError(
                f"no residue of {', '.join(fitted_on) or 'any trajectory'} has all its neighbours with known CA atoms, "
                "so there is nothing to learn classes from; give trajectories with CA atoms"
            )
        self._scales = points.std(axis=0)
        scaled = points / self._scales
        self._centroids = fit_centroids(scaled, self.num_clusters, self.seed, self.device) * self._scales
        self._description = {
            "name": self.name,
            "num_clusters": self.num_clusters,
            "arrays": ["centroids", "scales"],
            "seed": self.seed,
            "fitted_on": [{"group": group, "num_frames": num_frames} for group, num_frames in fitted_on.items()],
        }

    def encode(self, structure: Structure) -> np.ndarray:
        """(frames, residues) int32; MISSING_ID at the outer two residues of each unbroken stretch.

        Raises:
            EmprotError: there are no centroids yet, or a residue has fewer than 16 possible neighbours.
        """
        centroids, scales = self._learnt()
        ids = np.full(structure.coordinates.shape[:2], MISSING_ID, dtype=np.int32)
        for frames, features in _features(structure):
            known = _known(features)
            ids[frames][known] = nearest_centroids(features[known] / scales, centroids / scales, self.device)
        return ids

    def description(self) -> Mapping[str, Any]:
        """Which arrays of the store hold the classes, and which proteins and how many frames they were fitted on."""
        self._learnt()
        return self._description

    def arrays(self) -> Mapping[str, np.ndarray]:
        """centroids (C, 26) and scales (26,), float64: distances in Angstrom, and sines and cosines."""
        centroids, scales = self._learnt()
        return {"centroids": centroids, "scales": scales}

    def _learnt(self) -> tuple[np.ndarray, np.ndarray]:
        if self._centroids is None or self._scales is None:
            raise EmprotError(
                "kmeans_environment has no centroids; bind kmeans_environment.centroids to a store that has them, "
                "or Prepare.fit_on to the names of the trajectories to learn from, such as ['*'], with Prepare.split: "
                "its training frames alone are then learnt from"
            )
        return self._centroids, self._scales


def _training_points(structures: Iterable[Structure], fitted_on: dict[str, int]) -> Iterator[np.ndarray]:
    """Batches of known features (points, 26); counts the frames of each group on the way."""
    for structure in structures:
        fitted_on[structure.group] = fitted_on.get(structure.group, 0) + len(structure.coordinates)
        for _, features in _features(structure):
            yield features[_known(features)]


def _known(features: np.ndarray) -> np.ndarray:
    return np.isfinite(features).all(axis=-1)


def _features(structure: Structure) -> Iterator[tuple[slice, np.ndarray]]:
    """Chunks of frames and their features (frames, residues, 26), NaN for a residue without features."""
    num_frames, num_residues = structure.coordinates.shape[:2]
    may_be_neighbours = _apart(structure.segments)
    for frames in frame_chunks(num_frames, 4 * num_residues**2):
        alphas = structure.coordinates[frames, :, CA].astype(np.float64)
        features = np.full((*alphas.shape[:2], NUM_FEATURES), np.nan)
        features[..., _NUM_LOCAL:] = _packing(alphas, may_be_neighbours)
        for stretch in unbroken_stretches(structure.segments):
            inner = slice(stretch.start + WINDOW, stretch.stop - WINDOW)
            if inner.start < inner.stop:
                features[:, inner, :_NUM_LOCAL] = _local_shape(alphas[:, stretch])
        yield frames, features


def _apart(segments: np.ndarray) -> np.ndarray:
    """(residues, residues) bool: the pairs that may be neighbours."""
    places = np.arange(len(segments))
    apart = abs(places[:, None] - places) >= MIN_SEPARATION
    apart |= segments[:, None] != segments
    fewest = int(apart.sum(axis=1).min())
    if fewest < NUM_NEIGHBOURS:
        raise EmprotError(
            f"kmeans_environment got {len(segments)} residues, of which one has {fewest} possible neighbours, expected "
            f"at least {NUM_NEIGHBOURS}; leave so short a chain out, or use another tokenizer"
        )
    return apart


def _packing(alphas: np.ndarray, may_be_neighbours: np.ndarray) -> np.ndarray:
    """Distances (frames, residues, 16) to the nearest CA in rising order, from CA (frames, residues, 3)."""
    squares = sum((x[:, :, None] - x[:, None, :]) ** 2 for x in np.moveaxis(alphas, -1, 0))
    squares = np.where(may_be_neighbours, squares, np.inf)
    nearest = np.partition(squares, NUM_NEIGHBOURS - 1, axis=-1)[..., :NUM_NEIGHBOURS]
    return np.sqrt(np.sort(nearest, axis=-1))


def _local_shape(stretch: np.ndarray) -> np.ndarray:
    """(frames, residues - 4, 10): distances, sines and cosines of every window of CA (frames, residues, 3)."""
    count = stretch.shape[1] - 2 * WINDOW
    window = [stretch[:, k : k + count] for k in range(2 * WINDOW + 1)]
    distances = [np.linalg.norm(window[i] - window[j], axis=-1) for i, j in _PAIRS]
    angles = [dihedral(*window[k : k + 4]) for k in (0, 1)]
    return np.stack(distances + [f(angle) for angle in angles for f in (np.sin, np.cos)], axis=-1)
