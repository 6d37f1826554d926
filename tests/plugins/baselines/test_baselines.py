"""The six baselines against slow obvious twins with dense tables, and hand-computed cases."""

from collections import defaultdict

import numpy as np
import pytest
import torch
from emprot_plugins.data.trajectory_windows import TrajectoryWindows
from emprot_plugins.splits.by_time import ByTime

from emprot_core import registry
from emprot_core.batch import target_mask
from emprot_core.contracts import Vocabulary
from emprot_core.data.store import StoreWriter

NAMES = ["persistence", "windowed_mode", "occupancy", "markov", "interpolated", "interpolated_residue"]
WITH_DISTRIBUTION = NAMES[2:]
CLUSTERS, HISTORY, HORIZON = 12, 4, 3
SMALL = 6  # clusters of the batches made by hand


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two proteins; sticky IDs with holes, some of each residue's own, one seen in the test frames only."""
    rng = np.random.default_rng(3)
    directory = tmp_path_factory.mktemp("data") / "store"
    with StoreWriter(directory, Vocabulary("test", CLUSTERS, {})) as writer:
        for name, frames, residues in [("a", 70, 5), ("b", 60, 3)]:
            ids = rng.choice(CLUSTERS, (frames, residues), p=[0.5, 0.2, 0.2, 0.1] + [0.0] * 8)
            own = rng.integers(4, 9, residues)
            ids = np.where(rng.random(ids.shape) < [0.1, 0.4, 0.5, 0.8, 0.9][:residues], own, ids)
            for t in range(1, frames):
                ids[t] = np.where(rng.random(residues) < 0.4, ids[t - 1], ids[t])
            ids[rng.random(ids.shape) < 0.15] = -1
            ids[30:36, 1] = -1  # a whole history without an ID
            ids[52:, 2] = 10
            writer.add(name, name, ids)
    return TrajectoryWindows(str(directory), HISTORY, HORIZON, ByTime(0.7, 0.1, 0.2), batch_size=5)


def fitted(name, data):
    baseline = registry.get("baseline", name)()
    baseline.fit(data.loader("train"), data.loader("validation"), data.vocabulary.num_clusters)
    return baseline


def positions(data, split):
    """Per horizon a list of (place in the batch order, history, target, site)."""
    found = [[] for _ in range(HORIZON)]
    for i, batch in enumerate(data.loader(split)):
        for b, h, n in target_mask(batch).nonzero().tolist():
            history = batch["input_cluster_ids"][b, :, n].tolist()
            site = (int(batch["group_ids"][b]), n)
            found[h].append(((i, b, n), history, int(batch["future_cluster_ids"][b, h, n]), site))
    return found


def obvious_parts(train, history, site):
    """Each part as a dense vector over the clusters: the definitions of the baselines, word for word."""
    counts = np.zeros(CLUSTERS)
    pair, own, own_pair = counts.copy(), counts.copy(), counts.copy()
    last = history[-1]
    for _, other, target, other_site in train:
        counts[target] += 1
        pair[target] += other[-1] == last
        own[target] += other_site == site
        own_pair[target] += other_site == site and other[-1] == last
    unigram = (counts + 0.5) / (counts + 0.5).sum()
    known = [x for x in history if x >= 0]
    stay = np.eye(CLUSTERS)[last] if last >= 0 else unigram
    window = np.bincount(known, minlength=CLUSTERS) / len(known) if known else unigram
    markov = (pair + 0.01) / (pair + 0.01).sum() if last >= 0 else unigram
    occupancy = (own + 5 * unigram) / (own.sum() + 5)
    own_markov = (own_pair + 5 * markov) / (own_pair.sum() + 5) if last >= 0 else markov
    return np.stack([stay, window, markov, unigram, occupancy, own_markov])


def obvious_static(train, prior):
    """site -> the distribution that counts and unigram give it."""
    counts = np.bincount([target for _, _, target, _ in train], minlength=CLUSTERS) + 0.5
    unigram, own = counts / counts.sum(), defaultdict(lambda: np.zeros(CLUSTERS))
    for _, _, target, site in train:
        own[site][target] += 1
    return lambda site, less=0: (own[site] - less + prior * unigram) / (own[site].sum() - np.sum(less) + prior)


def obvious_prior(train):
    """The power of 2 under which each training target is most probable, given all the others."""

    def log_likelihood(prior):
        forecast = obvious_static(train, prior)
        return sum(np.log(forecast(site, np.eye(CLUSTERS)[target])[target]) for _, _, target, site in train)

    return max((2.0**k for k in range(-3, 13)), key=log_likelihood)


def obvious_weights(train, fit_on, which):
    """60 steps of EM from equal weights, one observation at a time."""
    observed = [obvious_parts(train, history, site)[which, target] for _, history, target, site in fit_on]
    weights = np.full(len(which), 1 / len(which))
    for _ in range(60):
        weights = np.mean([weights * p / (weights @ p) for p in observed], axis=0)
    return weights


@pytest.fixture(scope="module")
def twin(data):
    """name -> per horizon a list of (place, distribution over the clusters, target) of the test positions."""
    train, validation, test = (positions(data, s) for s in ("train", "validation", "test"))
    result = {name: [] for name in WITH_DISTRIBUTION}
    for h in range(HORIZON):
        first, all_parts = [0, 1, 2, 3], [0, 1, 2, 3, 4, 5]
        weights = {
            "markov": np.eye(6)[2],
            "interpolated": np.append(obvious_weights(train[h], train[h], first), [0, 0]),
            "interpolated_residue": obvious_weights(train[h], validation[h], all_parts),
        }
        parts = [(place, obvious_parts(train[h], history, site), target) for place, history, target, site in test[h]]
        for name, w in weights.items():
            result[name].append([(place, w @ p, target) for place, p, target in parts])
        static = obvious_static(train[h], obvious_prior(train[h]))
        result["occupancy"].append([(place, static(site), target) for place, _, target, site in test[h]])
    return result


@pytest.mark.parametrize("name", WITH_DISTRIBUTION)
def test_nll_and_prediction_equal_those_of_dense_tables(name, data, twin):
    baseline = fitted(name, data)
    predictions = [baseline.predict(batch) for batch in data.loader("test")]
    checked = 0
    for h, rows in enumerate(twin[name]):
        for (i, b, n), distribution, target in rows:
            assert predictions[i].nll_nats[b, h, n] == pytest.approx(-np.log(distribution[target]), rel=1e-9)
            assert distribution[predictions[i].predicted[b, h, n]] == pytest.approx(distribution.max(), rel=1e-9)
            checked += 1
    assert checked > 150


@pytest.mark.parametrize("name", WITH_DISTRIBUTION)
def test_distributions_add_up_to_one_and_the_prediction_is_their_maximum(name, tmp_path):
    """Short histories of restless residues: the best class is often outside the history."""
    num_clusters = 30
    rng = np.random.default_rng(5)
    following = rng.dirichlet(np.full(num_clusters, 0.1), num_clusters)
    ids = np.zeros((120, 12), int)
    for t in range(1, 120):
        own = rng.random(12) < np.linspace(0, 0.9, 12)
        ids[t] = np.where(own, rng.choice(3, 12) + np.arange(12), [rng.choice(30, p=following[x]) for x in ids[t - 1]])
    with StoreWriter(tmp_path / "store", Vocabulary("test", num_clusters, {})) as writer:
        writer.add("a", "A", ids)
    data = TrajectoryWindows(str(tmp_path / "store"), 2, HORIZON, ByTime(), batch_size=50)
    baseline = fitted(name, data)
    batch = next(iter(data.loader("test")))
    mask = target_mask(batch).numpy()
    targets = batch["future_cluster_ids"]
    nll = []
    for cluster in range(num_clusters):
        batch["future_cluster_ids"] = torch.where(targets >= 0, cluster, -1)
        nll.append(baseline.predict(batch).nll_nats[mask])
    distribution = np.exp(-np.stack(nll))
    np.testing.assert_allclose(distribution.sum(axis=0), 1.0)
    predicted = baseline.predict(batch).predicted[mask]
    np.testing.assert_allclose(distribution[predicted, np.arange(len(predicted))], distribution.max(axis=0))


def make_batch(history, targets=None, group=0):
    """One window: history (K, N), targets (F, N)."""
    history = torch.tensor(history)[None]
    targets = torch.zeros(1, 2, history.shape[2], dtype=torch.long) if targets is None else torch.tensor(targets)[None]
    return {
        "input_cluster_ids": history,
        "sequence_lengths": torch.tensor([history.shape[2]]),
        "history_mask": history >= 0,
        "residue_mask": torch.ones(1, history.shape[2], dtype=torch.bool),
        "future_cluster_ids": targets,
        "future_step_mask": torch.ones(1, targets.shape[1], dtype=torch.bool),
        "group_ids": torch.tensor([group]),
    }


TRAIN = [make_batch([[0], [0], [0], [0]], [[5], [5]])]


def test_persistence_repeats_the_last_known_id():
    baseline = registry.get("baseline", "persistence")()
    baseline.fit(TRAIN, (), SMALL)
    prediction = baseline.predict(make_batch([[1, 2, -1], [3, 1, -1], [3, -1, -1]]))
    assert prediction.predicted.tolist() == [[[3, 1, 5], [3, 1, 5]]]
    assert prediction.nll_nats is None


def test_persistence_never_reads_a_masked_frame():
    baseline = registry.get("baseline", "persistence")()
    baseline.fit(TRAIN, (), SMALL)
    batch = make_batch([[1], [3], [2]])
    batch["history_mask"][0, 2] = False
    assert baseline.predict(batch).predicted[0, 0].tolist() == [3]


def test_windowed_mode_takes_the_commonest_and_of_equals_the_most_recent():
    baseline = registry.get("baseline", "windowed_mode")()
    baseline.fit(TRAIN, (), SMALL)
    history = np.array([[1, 1, 4, 2], [1, 2, 4, 1], [3, 2, 2, -1], [0, 1, 2, -1], [1, 0, 4, -1]])
    prediction = baseline.predict(make_batch([*history.tolist(), [-1] * 4]))
    assert prediction.predicted[0, 0].tolist() == [1, 1, 4, 1]
    nothing = baseline.predict(make_batch([[-1], [-1]]))
    assert nothing.predicted[0, 0].tolist() == [5]


def test_markov_knows_its_transitions_and_is_uniform_from_an_id_never_left_in_training():
    baseline = registry.get("baseline", "markov")()
    train = [make_batch([[1]], [[2], [3]]), make_batch([[1]], [[2], [4]]), make_batch([[1]], [[0], [4]])]
    baseline.fit(train, (), SMALL)
    prediction = baseline.predict(make_batch([[1, 2]], [[0, 3], [4, 3]]))
    total = 3 + 6 * 0.01
    np.testing.assert_allclose(np.exp(-prediction.nll_nats[0, :, 0]), [1.01 / total, 2.01 / total])
    np.testing.assert_allclose(np.exp(-prediction.nll_nats[0, :, 1]), [1 / 6, 1 / 6])
    assert prediction.predicted[0, :, 0].tolist() == [2, 4]


def test_occupancy_keeps_proteins_apart():
    baseline = registry.get("baseline", "occupancy")()
    baseline.fit([make_batch([[0]], [[1], [1]], group=0), make_batch([[0]], [[2], [2]], group=1)], (), SMALL)
    for group, expected in [(0, 1), (1, 2)]:
        assert baseline.predict(make_batch([[5]], group=group)).predicted[0, :, 0].tolist() == [expected] * 2
    unseen = baseline.predict(make_batch([[5]], [[1], [0]], group=7))
    np.testing.assert_allclose(np.exp(-unseen.nll_nats[0, :, 0]), [1.5 / 5, 0.5 / 5])


@pytest.mark.parametrize("name", WITH_DISTRIBUTION)
def test_training_without_windows_is_refused(name):
    with pytest.raises(ValueError, match="no training windows to fit a baseline on"):
        registry.get("baseline", name)().fit([], [], SMALL)


@pytest.mark.parametrize("name", WITH_DISTRIBUTION)
def test_only_baselines_that_know_single_residues_need_to_know_the_protein(name):
    baseline, batch = registry.get("baseline", name)(), make_batch([[1]])
    del batch["group_ids"]
    if baseline.same_protein:
        with pytest.raises(ValueError, match="the batch has no 'group_ids'"):
            baseline.fit([batch], [], SMALL)
    else:
        baseline.fit([batch], [], SMALL)
        assert baseline.predict(batch).predicted.shape == (1, 2, 1)


def test_baselines_say_where_they_apply_and_whether_every_table_shows_them():
    baselines = [registry.get("baseline", name)() for name in NAMES]
    assert [each.name for each in baselines] == NAMES
    same_protein = [each.name for each in baselines if getattr(each, "same_protein", False)]
    assert same_protein == ["occupancy", "interpolated_residue"]
    assert [each.name for each in baselines if getattr(each, "always_shown", False)] == ["interpolated"]


@pytest.mark.parametrize("name", WITH_DISTRIBUTION)
def test_constant_data_are_forecast_without_infinities(name):
    train = [make_batch([[0, 3], [0, 3]], [[0, 3], [0, 3]]) for _ in range(20)]
    baseline = registry.get("baseline", name)()
    baseline.fit(train, train, SMALL)
    surprise = baseline.predict(make_batch([[0, 3], [0, 3]], [[0, 5], [5, 3]]))
    assert surprise.predicted.tolist() == [[[0, 3], [0, 3]]]
    assert np.isfinite(surprise.nll_nats).all()


@pytest.mark.parametrize("name", ["interpolated", "interpolated_residue"])
def test_weights_from_a_part_of_many_positions_are_close_to_those_from_all(name, data, monkeypatch):
    whole = fitted(name, data).state_dict()
    monkeypatch.setattr("emprot_plugins.baselines.counted._MAX_COUNTS", int(whole["counts_1"].sum()) // 2)
    part = fitted(name, data).state_dict()
    for h in range(1, HORIZON + 1):
        np.testing.assert_array_equal(whole[f"counts_{h}"], part[f"counts_{h}"])
        assert 0 < np.abs(whole[f"weights_{h}"] - part[f"weights_{h}"]).max() < 0.3


@pytest.mark.parametrize("name", [*WITH_DISTRIBUTION, "history_alike"])
def test_a_vocabulary_of_50000_needs_no_dense_table(name, tmp_path):
    num_clusters = 50_000
    rng = np.random.default_rng(0)
    ids = rng.zipf(1.3, (60, 8)) % num_clusters
    ids[0] = num_clusters - 1
    ids[40] = num_clusters - 1
    with StoreWriter(tmp_path / "store", Vocabulary("large", num_clusters, {})) as writer:
        writer.add("a", "A", ids)
    data = TrajectoryWindows(str(tmp_path / "store"), HISTORY, HORIZON, ByTime())
    baseline = fitted(name, data)
    for batch in data.loader("test"):
        prediction = baseline.predict(batch)
        mask = target_mask(batch).numpy()
        assert np.isfinite(prediction.nll_nats[mask]).all()
        assert (prediction.nll_nats[mask] > 0).all()
        assert prediction.predicted.max() < num_clusters
