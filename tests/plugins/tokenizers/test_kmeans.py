"""Classes by k-means: learning, and the nearest centroid."""

import numpy as np
import pytest
import torch
from emprot_plugins.tokenizers import kmeans
from emprot_plugins.tokenizers.geometry import dihedral
from emprot_plugins.tokenizers.kmeans import fit_centroids, nearest_centroids, sample_points
from emprot_plugins.tokenizers.kmeans_environment import KMeansEnvironment
from sample_structures import frames_of_the_receptor

from emprot_core.contracts import Structure
from emprot_core.errors import EmprotError


@pytest.fixture(scope="module")
def receptor() -> Structure:
    return frames_of_the_receptor()


def test_a_tokenizer_that_was_fitted_gives_the_class_with_the_nearest_centroid(receptor: Structure) -> None:
    tokenizer = KMeansEnvironment(num_clusters=12, seed=3)
    tokenizer.fit([receptor])
    centroids, scales = (tokenizer.arrays()[name] for name in ("centroids", "scales"))
    alphas = receptor.coordinates[0, :, 1].astype(np.float64)
    expected = []
    for residue in range(2, 210):
        window = alphas[residue - 2 : residue + 3]
        local = [np.linalg.norm(window[i] - window[j]) for i in range(5) for j in range(i + 2, 5)]
        turns = [dihedral(*window[k : k + 4]) for k in (0, 1)]
        others = [k for k in range(302) if abs(k - residue) >= 4 or k >= 212]
        packing = sorted(np.linalg.norm(alphas[others] - alphas[residue], axis=1))[:16]
        features = np.array([*local, *(f(a) for a in turns for f in (np.sin, np.cos)), *packing])
        expected.append((((features - centroids) / scales) ** 2).sum(axis=1).argmin())
    assert tokenizer.encode(receptor)[0, 2:210].tolist() == expected


def test_fitting_twice_with_a_seed_gives_the_same_centroids(receptor: Structure) -> None:
    fitted = [KMeansEnvironment(num_clusters=8, seed=seed) for seed in (0, 0, 1)]
    for tokenizer in fitted:
        tokenizer.fit([receptor])
    first, again, other = (tokenizer.arrays()["centroids"] for tokenizer in fitted)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert fitted[0].description()["fitted_on"] == [{"group": "P28222", "num_frames": 3}]


def test_classes_read_from_a_store_are_not_learnt_again(receptor: Structure) -> None:
    tokenizer = KMeansEnvironment(centroids="sample:kmeans_environment")
    before = tokenizer.encode(receptor)
    tokenizer.fit([receptor])
    np.testing.assert_array_equal(tokenizer.encode(receptor), before)


def test_encoding_without_centroids_says_how_to_get_them(receptor: Structure) -> None:
    with pytest.raises(ValueError, match=r"no centroids; bind kmeans_environment\.centroids .* Prepare\.fit_on"):
        KMeansEnvironment().encode(receptor)


def test_a_store_with_another_number_of_centroids_is_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \(256, 26\), expected \(64, 26\)"):
        KMeansEnvironment(num_clusters=64, centroids="sample:kmeans_environment")


def test_a_chain_too_short_to_have_neighbours_is_refused(receptor: Structure) -> None:
    short = receptor._replace(coordinates=receptor.coordinates[:, :20], segments=receptor.segments[:20])
    with pytest.raises(ValueError, match=r"got 20 residues, .* has 13 possible neighbours, expected at least 16"):
        KMeansEnvironment(centroids="sample:kmeans_environment").encode(short)


def test_frames_without_a_complete_residue_are_refused_by_the_name_of_the_protein(receptor: Structure) -> None:
    unknown = receptor._replace(coordinates=np.full_like(receptor.coordinates[:2], np.nan), group="receptor")
    with pytest.raises(EmprotError, match="no residue of receptor has all its neighbours with known CA atoms"):
        KMeansEnvironment().fit([unknown])


def test_k_means_finds_clusters_that_lie_apart() -> None:
    random = np.random.default_rng(0)
    centres = random.permutation(np.stack(np.meshgrid(*[[0.0, 10.0, 20.0]] * 2), axis=-1).reshape(-1, 2))
    points = np.concatenate([centre + random.normal(scale=0.1, size=(30, 2)) for centre in centres])
    centroids = fit_centroids(points, 9, seed=0)
    assert sorted(np.round(centroids).tolist()) == sorted(centres.tolist())
    assert np.bincount(nearest_centroids(points, centroids)).tolist() == [30] * 9


@pytest.mark.parametrize("num_clusters", [1, 7, 1024, 2500])
def test_the_nearest_centroid_is_that_of_the_obvious_search(num_clusters: int) -> None:
    random = np.random.default_rng(0)
    points, centroids = random.normal(size=(700, 5)), random.normal(size=(num_clusters, 5))
    centroids[num_clusters // 2] = centroids[0]  # of two equally near, the first
    distances = ((points[:, None] - centroids) ** 2).sum(axis=-1)
    assert nearest_centroids(points, centroids).tolist() == distances.argmin(axis=1).tolist()


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_the_nearest_centroid_is_the_same_on_cuda() -> None:
    random = np.random.default_rng(0)
    points, centroids = random.normal(size=(3000, 26)), random.normal(size=(5000, 26))
    np.testing.assert_array_equal(
        nearest_centroids(points, centroids, "cuda"), nearest_centroids(points, centroids, "cpu")
    )


def test_a_sample_holds_every_point_evenly_whatever_the_batches() -> None:
    points = np.arange(1000.0)[:, None]
    np.testing.assert_array_equal(sample_points([points[:300], points[300:]], 1000, seed=0), points)
    drawn = [sample_points(np.array_split(points, parts), 200, seed) for seed in range(40) for parts in (1, 7, 400)]
    assert all(len(np.unique(sample)) == 200 for sample in drawn)
    counts = np.bincount(np.concatenate(drawn).astype(int).ravel(), minlength=1000)
    assert counts.sum() == 40 * 3 * 200
    # Each point is drawn with a chance of .2: a fifth of 120 samples, within the noise of a mean of 100 points.
    np.testing.assert_allclose(counts.reshape(10, 100).mean(axis=1), 24, atol=2.5)


def test_mini_batches_come_as_near_as_all_points_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    centres = random.uniform(-20, 20, size=(5, 3))
    points = (centres[:, None] + random.normal(size=(5, 100, 3))).reshape(-1, 3)
    errors = []
    for product in (1 << 28, 0):
        monkeypatch.setattr(kmeans, "LLOYD_PRODUCT", product)
        monkeypatch.setattr(kmeans, "BATCH_POINTS", 128)
        centroids = fit_centroids(points, 20, seed=0)
        errors.append(((points - centroids[nearest_centroids(points, centroids)]) ** 2).sum(axis=1).mean())
    assert errors[1] < 1.35 * errors[0]
    with pytest.raises(ValueError, match="got 6 points, 2 of them different, expected at least 3"):
        fit_centroids(np.array([[0.0], [1.0]] * 3), 3, seed=0)


def test_k_means_with_too_few_different_points_is_refused() -> None:
    with pytest.raises(ValueError, match="got 6 points, 2 of them different, expected at least 3"):
        fit_centroids(np.array([[0.0], [1.0]] * 3), 3, seed=0)
