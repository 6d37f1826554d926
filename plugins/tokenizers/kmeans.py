"""k-means: seeding, iterations and the nearest centroid, which torch finds on any device. Points are float64."""

from collections.abc import Iterable

import numpy as np
import torch

from emprot_core.errors import EmprotError

MAX_ITERATIONS = 100
LLOYD_PRODUCT = 1 << 28
"""Up to this many points x clusters, an iteration uses all points (about 1 s each); above, mini-batches are used."""
BATCH_POINTS = 1 << 14
EPOCHS = 5
_CENTROIDS_AT_ONCE = 1024
_DISTANCES_AT_ONCE = 1 << 19
"""This many float64 (4 MB) fit a processor's cache, so they are reduced there before the next are computed."""


def nearest_centroids(points: np.ndarray, centroids: np.ndarray, device: str = "cpu") -> np.ndarray:
    """The index (P,) int64 of the centroid (C, E) nearest to each point (P, E); on ties, the first.

    It is computed in float64 on every device, so that IDs depend on the machine only where two are equally near.
    """
    # |x - c|^2 / 2 without the term of x alone is one product of (x, 1) and (-c, |c|^2 / 2).
    sides = torch.from_numpy(np.ascontiguousarray(centroids, np.float64)).to(device)
    table = torch.cat([-sides, 0.5 * (sides * sides).sum(dim=1, keepdim=True)], dim=1).T.contiguous()
    nearest = torch.empty(len(points), dtype=torch.int64)
    step = _DISTANCES_AT_ONCE // min(len(centroids), _CENTROIDS_AT_ONCE)
    for start in range(0, len(points), step):
        some = torch.from_numpy(np.ascontiguousarray(points[start : start + step], np.float64)).to(device)
        nearest[start : start + len(some)] = _nearest(torch.nn.functional.pad(some, (0, 1), value=1.0), table)
    return nearest.numpy()


def sample_points(batches: Iterable[np.ndarray], num_points: int, seed: int) -> np.ndarray:
    """Points (at most num_points, E), drawn uniformly from all batches (P, E), with one batch in memory at a time.

    Source: reservoir sampling, Vitter, ACM Trans. Math. Softw. 11, 37 (1985), algorithm R.
    """
    random = np.random.default_rng(seed)
    kept: list[np.ndarray] = []
    reservoir, seen = np.empty((0, 0)), 0
    for batch in batches:
        first = batch[: max(0, num_points - seen)]
        if len(first):
            kept.append(first)
        later = batch[len(first) :]
        if len(later):
            if kept:
                reservoir, kept = np.concatenate(kept), []
            places = random.integers(0, np.arange(seen + len(first), seen + len(batch)) + 1)
            chosen = places < num_points
            reservoir[places[chosen]] = later[chosen]
        seen += len(batch)
    if kept:
        reservoir = np.concatenate(kept)
    return reservoir


def fit_centroids(points: np.ndarray, num_clusters: int, seed: int, device: str = "cpu") -> np.ndarray:
    """(C, E) centroids of points (P, E).

    Few points and clusters are seeded by k-means++ and improved by Lloyd's iterations until no point changes cluster.
    Many are seeded with distinct points and improved by EPOCHS passes of mini-batches. A cluster that loses its last
    point keeps its centroid.
    Source: Arthur, Vassilvitskii, SODA 2007; Lloyd, IEEE Trans. Inf. Theory 28, 129 (1982); Sculley, WWW 2010.

    Raises:
        EmprotError: there are fewer different points than clusters.
    """
    random = np.random.default_rng(seed)
    if len(points) * num_clusters > LLOYD_PRODUCT:
        return _fit_in_batches(points, num_clusters, random, device)
    centroids = _spread_seeds(points, num_clusters, random)
    assigned = nearest_centroids(points, centroids, device)
    for _ in range(MAX_ITERATIONS):
        centroids = _means(points, assigned, centroids)
        previous, assigned = assigned, nearest_centroids(points, centroids, device)
        if np.array_equal(previous, assigned):
            break
    return centroids


def _nearest(points: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """The nearest column (P,) of the table (E + 1, C) to points (P, E + 1), searched in blocks of columns."""
    best, nearest = (points @ table[:, :_CENTROIDS_AT_ONCE]).min(dim=1)
    for start in range(_CENTROIDS_AT_ONCE, table.shape[1], _CENTROIDS_AT_ONCE):
        values, places = (points @ table[:, start : start + _CENTROIDS_AT_ONCE]).min(dim=1)
        better = values < best
        nearest = torch.where(better, places + start, nearest)
        best = torch.where(better, values, best)
    return nearest.cpu()


def _fit_in_batches(points: np.ndarray, num_clusters: int, random: np.random.Generator, device: str) -> np.ndarray:
    different = np.unique(points, axis=0)
    if len(different) < num_clusters:
        raise EmprotError(_too_few(len(points), len(different), num_clusters))
    centroids = different[random.choice(len(different), num_clusters, replace=False)]
    counts = np.zeros(num_clusters)
    for _ in range(EPOCHS):
        order = random.permutation(len(points))
        for start in range(0, len(order), BATCH_POINTS):
            batch = points[order[start : start + BATCH_POINTS]]
            assigned = nearest_centroids(batch, centroids, device)
            added = np.bincount(assigned, minlength=num_clusters)
            counts += added
            # A centroid is the mean of all points it was ever assigned, so its steps shrink as 1 / count.
            moved = added > 0
            share = (added[moved] / counts[moved])[:, None]
            centroids[moved] += share * (_means(batch, assigned, centroids)[moved] - centroids[moved])
    return centroids


def _spread_seeds(points: np.ndarray, num_clusters: int, random: np.random.Generator) -> np.ndarray:
    """k-means++: a point becomes the next seed with probability proportional to its squared distance to the seeds."""
    chosen = [int(random.integers(len(points)))]
    distances = ((points - points[chosen[0]]) ** 2).sum(axis=1)
    while len(chosen) < num_clusters:
        total = distances.sum()
        if not total > 0:
            raise EmprotError(_too_few(len(points), len(chosen), num_clusters))
        chosen.append(int(random.choice(len(points), p=distances / total)))
        distances = np.minimum(distances, ((points - points[chosen[-1]]) ** 2).sum(axis=1))
    return points[chosen]


def _means(points: np.ndarray, assigned: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    counts = np.bincount(assigned, minlength=len(centroids))
    sums = np.stack([np.bincount(assigned, column, len(centroids)) for column in points.T], axis=1)
    return np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], centroids)


def _too_few(num_points: int, num_different: int, num_clusters: int) -> str:
    return (
        f"k-means got {num_points} points, {num_different} of them different, expected at least {num_clusters}; "
        "fit on more frames or lower num_clusters"
    )
