"""Scores beyond NLL and accuracy, against other libraries and against counts by hand."""

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import scoringrules
import torch
from emprot_plugins.scores.calibration import Calibration
from emprot_plugins.scores.change_detection import ChangeDetection
from emprot_plugins.scores.change_rates import ChangeRates
from emprot_plugins.scores.energy_score import EnergyScore
from emprot_plugins.scores.stayed_changed import StayedChanged
from emprot_plugins.scores.top_k import TopK
from scipy.stats import spearmanr
from sklearn.metrics import average_precision_score

from emprot_core.batch import target_mask
from emprot_core.errors import EmprotError

CLUSTERS, HORIZON = 11, 3
SCORES = {"top": TopK, "stayed": StayedChanged, "change": ChangeDetection, "calibration": Calibration}


@pytest.fixture
def batch(make_batch):
    """Windows with missing IDs, a cut one, and targets that often stay what they were."""
    batch = make_batch(num_windows=6, num_residues=9, missing=True)
    stays = torch.rand(batch["future_cluster_ids"].shape, generator=torch.Generator().manual_seed(1)) < 0.5
    last = batch["input_cluster_ids"][:, -1:].expand_as(stays)
    batch["future_cluster_ids"] = torch.where(stays & (last >= 0), last, batch["future_cluster_ids"])
    batch["future_step_mask"][2, 1:] = False
    batch["group_ids"] = torch.tensor([5, 5, 5, 5, 8, 8])
    batch["sequence_lengths"][:] = 9
    return batch


@pytest.fixture
def probabilities(batch):
    """Ties among them: logits are rounded."""
    shape = (*batch["future_cluster_ids"].shape, CLUSTERS)
    logits = torch.randn(shape, generator=torch.Generator().manual_seed(2)).round()
    return (logits * 1.5).softmax(-1)


def result(score, probabilities, *batches):
    score.start(CLUSTERS, HORIZON)
    for batch, own in zip(batches, probabilities if isinstance(probabilities, list) else [probabilities], strict=True):
        score.add(own, batch)
    return score.result()


def tokens(probabilities, batch, h):
    """Of one horizon: probabilities (P, C), targets (P,), last observed IDs (P,), residues (P,), windows (P,)."""
    rows = [(b, n) for b, step, n in target_mask(batch).nonzero().tolist() if step == h]
    found = []
    for b, n in rows:
        known = [x for x in batch["input_cluster_ids"][b, :, n].tolist() if x >= 0]
        target = int(batch["future_cluster_ids"][b, h, n])
        found.append((probabilities[b, h, n].double().numpy(), target, known[-1] if known else -1, n, b))
    return [np.array(column) for column in zip(*found, strict=True)]


def test_top_k_counts_targets_among_the_most_probable(probabilities, batch):
    found = result(TopK(k=3), probabilities, batch)["top3"]
    for h in range(HORIZON):
        p, target, *_ = tokens(probabilities, batch, h)
        best = np.argsort(-p, axis=-1, kind="stable")[:, :3]
        better = (p > p[np.arange(len(p)), target][:, None]).sum(-1)
        at_least = (better + (p == p[np.arange(len(p)), target][:, None]).sum(-1) <= 3).mean()
        assert at_least <= found[h] <= (better < 3).mean()  # ties may fall either way
        assert best.shape == (len(p), 3)
    assert result(TopK(k=50), probabilities, batch)["top50"] == [1.0] * HORIZON
    with pytest.raises(EmprotError, match="k is 0"):
        TopK(k=0)


def test_stayed_and_changed_targets_are_scored_apart(probabilities, batch):
    found = result(StayedChanged(), probabilities, batch)
    for h in range(HORIZON):
        p, target, last, *_ = tokens(probabilities, batch, h)
        bits = -np.log2(p[np.arange(len(p)), target])
        stayed, changed = target == last, (target != last) & (last >= 0)
        assert found["nll_bits_stayed"][h] == pytest.approx(bits[stayed].mean(), rel=1e-6)
        assert found["nll_bits_changed"][h] == pytest.approx(bits[changed].mean(), rel=1e-6)
        assert found["accuracy_stayed"][h] == pytest.approx((p.argmax(-1) == target)[stayed].mean())


def test_average_precision_of_change_is_that_of_scikit_learn_ties_included(probabilities, batch):
    probabilities = (probabilities * 20).ceil() / 100  # the score reads p(x[t]) alone
    found = result(ChangeDetection(), probabilities, batch)
    for h in range(HORIZON):
        p, target, last, *_ = tokens(probabilities, batch, h)
        known = last >= 0
        kept = p[np.arange(len(p)), last].astype(np.float32)[known]
        events = (target != last)[known]
        assert len(np.unique(kept)) < len(kept)
        assert found["average_precision_change"][h] == pytest.approx(average_precision_score(events, -kept), abs=1e-9)
        assert found["change_rate"][h] == events.mean()


def test_without_a_change_there_is_no_average_precision(batch, probabilities):
    batch["future_cluster_ids"] = batch["input_cluster_ids"][:, -1:].expand(-1, HORIZON, -1).clone()
    found = result(ChangeDetection(), probabilities, batch)
    assert found["average_precision_change"] == [None] * HORIZON


def test_calibration_and_brier_equal_a_count_by_hand(probabilities, batch):
    found = result(Calibration(num_bins=10), probabilities, batch)
    for h in range(HORIZON):
        p, target, *_ = tokens(probabilities, batch, h)
        truth = np.eye(CLUSTERS)[target]
        assert found["brier"][h] == pytest.approx(((p - truth) ** 2).sum(-1).mean(), rel=1e-5)
        confidence, hit = p.max(-1), p.argmax(-1) == target
        ece, table = 0.0, []
        for low in range(10):
            inside = (confidence > low / 10) & (confidence <= (low + 1) / 10)
            if inside.any():
                table.append([confidence[inside].mean(), hit[inside].mean(), inside.sum()])
                ece += inside.mean() * abs(confidence[inside].mean() - hit[inside].mean())
        assert found["ece"][h] == pytest.approx(ece, abs=1e-6)
        np.testing.assert_allclose(found["reliability"][h], table, rtol=1e-5)
    with pytest.raises(EmprotError, match="num_bins is 0"):
        Calibration(num_bins=0)


def with_centroids(centroids, scales=None):
    arrays = {"centroids": centroids, "scales": scales}
    return SimpleNamespace(vocabulary_array=arrays.get)


def test_the_energy_score_is_that_of_scoringrules(probabilities, batch):
    rng = np.random.default_rng(0)
    centroids, scales = rng.normal(size=(CLUSTERS, 4)), np.array([1.0, 2.0, 0.5, 3.0])
    score = EnergyScore()
    score.use_data(with_centroids(centroids, scales), None)
    found = result(score, probabilities, batch)["energy_score"]
    points = centroids / scales
    for h in range(HORIZON):
        p, target, *_ = tokens(probabilities, batch, h)
        # The ensemble of all classes, each with the weight of its probability.
        ensemble = np.broadcast_to(points, (len(p), *points.shape))
        weights = p / p.sum(-1, keepdims=True)
        expected = scoringrules.es_ensemble(points[target], ensemble, ens_w=weights)
        assert found[h] == pytest.approx(np.mean(expected), abs=1e-6)


def test_without_centroids_there_is_no_energy_score(probabilities, batch):
    for centroids in (None, np.zeros((5000, 1))):
        score = EnergyScore()
        score.use_data(with_centroids(centroids), None)
        assert result(score, probabilities, batch) == {"energy_score": [None] * HORIZON}


def test_change_rates_are_ranked_over_the_residues_of_each_protein(probabilities, batch):
    training = SimpleNamespace(num_windows=lambda split: 1, all_windows=lambda split: [{**batch}])
    score = ChangeRates()
    score.use_data(None, training)
    found = result(score, probabilities, batch)
    for h in range(HORIZON):
        p, target, last, residue, window = tokens(probabilities, batch, h)
        expected = []
        for group in (5, 8):
            foreseen, observed = [], []
            for n in range(9):
                rows = (residue == n) & (last >= 0) & (batch["group_ids"].numpy()[window] == group)
                if rows.any():
                    foreseen.append((1 - p[rows, last[rows]]).mean())
                    observed.append((target[rows] != last[rows]).mean())
            expected.append(spearmanr(foreseen, observed).statistic)
        assert found["change_rate_spearman"][h] == pytest.approx(np.mean(expected), abs=1e-6)
        assert found["change_rate_spearman_training"][h] == pytest.approx(1.0)
    assert result(ChangeRates(), probabilities, batch)["change_rate_spearman_training"] == [None] * HORIZON


@pytest.mark.parametrize("kind", [*SCORES.values(), ChangeRates], ids=lambda kind: kind.__name__)
def test_masked_targets_padding_and_the_cut_into_batches_change_nothing(kind, probabilities, batch):
    whole = result(kind(), probabilities, batch)
    spoilt, mask = probabilities.clone(), target_mask(batch)
    spoilt[~mask] = float("nan")
    changed = {**batch, "future_cluster_ids": torch.where(mask, batch["future_cluster_ids"], 3)}
    changed["future_step_mask"] = batch["future_step_mask"]
    lost = ~mask & (changed["future_cluster_ids"] >= 0) & changed["future_step_mask"][:, :, None]
    changed["future_cluster_ids"][lost] = -1
    assert_same(result(kind(), spoilt, changed), whole)
    padded = {
        key: torch.nn.functional.pad(value, (0, 4), value=-1 if value.dtype == torch.long else 0)
        if value.ndim > 1 and key not in ("times", "future_step_mask")
        else value
        for key, value in batch.items()
    }
    wide = torch.nn.functional.pad(probabilities, (0, 0, 0, 4))
    assert_same(result(kind(), wide, padded), whole)
    single = [{key: value[i : i + 1] for key, value in batch.items()} for i in range(6)]
    assert_same(result(kind(), [probabilities[i : i + 1] for i in range(6)], *single), whole)


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name in found:
        for own, other in zip(found[name], expected[name], strict=True):
            np.testing.assert_allclose(np.array(own, float), np.array(other, float), rtol=1e-6)


@pytest.mark.slow
def test_fifty_thousand_classes_fit_into_two_gigabytes():
    done = subprocess.run([sys.executable, "-c", LARGE], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 2e9


LARGE = """
import resource, torch
from emprot_plugins.scores import calibration, change_detection, change_rates, stayed_changed, top_k
shape = (1, 4, 302, 50_000)
batch = {"input_cluster_ids": torch.randint(0, 50_000, (1, 10, 302)), "sequence_lengths": torch.tensor([302]),
         "residue_mask": torch.ones(1, 302, dtype=torch.bool), "future_step_mask": torch.ones(1, 4, dtype=torch.bool),
         "future_cluster_ids": torch.randint(0, 50_000, shape[:3])}
batch["history_mask"] = batch["input_cluster_ids"] >= 0
probabilities = torch.full(shape, 1 / 50_000)
for score in (calibration.Calibration(), change_detection.ChangeDetection(), change_rates.ChangeRates(),
              stayed_changed.StayedChanged(), top_k.TopK()):
    score.start(50_000, 4)
    for _ in range(2):
        score.add(probabilities, batch)
    score.result()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""
