"""k-means: seeding, iterations and the nearest centroid, in numpy."""

import numpy as np

from .geometry import frame_chunks

MAX_ITERATIONS = 100


def nearest_centroids(points: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """(P,) int: which centroid (C, E) is nearest to each point (P, E); float64, chunk by chunk."""
    nearest = np.empty(len(points), dtype=np.int64)
    half_squares = 0.5 * (centroids**2).sum(axis=1)
    for chunk in frame_chunks(len(points), len(centroids)):
        nearest[chunk] = (half_squares - points[chunk] @ centroids.T).argmin(axis=1)
    return nearest


def fit_centroids(points: np.ndarray, num_clusters: int, seed: int) -> np.ndarray:
    """(C, E) centroids of points (P, E), float64: k-means++ seeding and Lloyd's iterations until nothing moves.

    A cluster that loses its last point keeps its centroid.
    Source: Arthur, Vassilvitskii, SODA 2007; Lloyd, IEEE Trans. Inf. Theory 28, 129 (1982).

    Raises:
        ValueError: there are fewer different points than clusters.
    """
    centroids = _spread_seeds(points, num_clusters, np.random.default_rng(seed))
    assigned = nearest_centroids(points, centroids)
    for _ in range(MAX_ITERATIONS):
        centroids = _means(points, assigned, centroids)
        previous, assigned = assigned, nearest_centroids(points, centroids)
        if np.array_equal(previous, assigned):
            break
    return centroids


def _spread_seeds(points: np.ndarray, num_clusters: int, random: np.random.Generator) -> np.ndarray:
    """k-means++: each next seed is a point drawn with a probability proportional to its squared distance."""
    chosen = [int(random.integers(len(points)))]
    distances = ((points - points[chosen[0]]) ** 2).sum(axis=1)
    while len(chosen) < num_clusters:
        total = distances.sum()
        if not total > 0:
            raise ValueError(
                f"k-means got {len(points)} points, {len(chosen)} of them different, expected at least {num_clusters}; "
                "fit on more frames or lower num_clusters"
            )
        chosen.append(int(random.choice(len(points), p=distances / total)))
        distances = np.minimum(distances, ((points - points[chosen[-1]]) ** 2).sum(axis=1))
    return points[chosen]


def _means(points: np.ndarray, assigned: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    counts = np.bincount(assigned, minlength=len(centroids))
    sums = np.stack([np.bincount(assigned, column, len(centroids)) for column in points.T], axis=1)
    return np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], centroids)
