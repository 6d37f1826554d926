import json
import math

import numpy as np
import pytest
import torch
from emprot_plugins.baselines.interpolated import Interpolated
from emprot_plugins.baselines.persistence import Persistence
from emprot_plugins.data.trajectory_windows import TrajectoryWindows
from emprot_plugins.splits.by_group import ByGroup
from emprot_plugins.splits.by_time import ByTime

from emprot_core.batch import target_mask
from emprot_core.contracts import Prediction, Vocabulary
from emprot_core.data.history import last_known
from emprot_core.data.store import StoreWriter
from emprot_core.errors import EmprotError
from emprot_core.evaluation.beside_baselines import (
    check_names,
    fit,
    score_baselines,
    score_beside_baselines,
)
from emprot_core.evaluation.forecast import ModelForecast
from emprot_core.evaluation.scores import HorizonScores, score
from emprot_core.evaluation.table import format_scores

CLUSTERS, HORIZON = 5, 2
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    rng = np.random.default_rng(0)
    directory = tmp_path_factory.mktemp("data") / "store"
    with StoreWriter(directory, Vocabulary("test", CLUSTERS, {})) as writer:
        writer.add("a", "A", rng.integers(-1, CLUSTERS, (60, 4)))
        writer.add("b", "B", rng.integers(-1, CLUSTERS, (50, 3)))
    return TrajectoryWindows(str(directory), history=3, horizon=HORIZON, split=ByTime(), batch_size=3)


def make_batch(history, targets, mask=True):
    """Windows of one residue: history (B, K), targets (B, F)."""
    history, targets = torch.tensor(history)[:, :, None], torch.tensor(targets)[:, :, None]
    return {
        "input_cluster_ids": history,
        "sequence_lengths": torch.ones(len(history), dtype=torch.long),
        "history_mask": history >= 0,
        "residue_mask": torch.ones(len(history), 1, dtype=torch.bool),
        "future_cluster_ids": targets,
        "future_step_mask": torch.as_tensor(mask).expand(targets.shape[:2]),
        "group_ids": torch.zeros(len(history), dtype=torch.long),
    }


def logits_of(batch):
    """Scores that depend on window, step and residue, with a large constant to catch a careless softmax."""
    shape = (*batch["future_cluster_ids"].shape, CLUSTERS)
    place = torch.arange(math.prod(shape)).reshape(shape)
    return torch.sin(place * 0.37) * 3 + 1000 + batch["window_ids"][:, None, None, None] % 7


def forward(batch):
    return {"cluster_logits": logits_of(batch)}


def test_scores_of_a_model_equal_sums_over_single_positions_in_float64(data):
    sums = np.zeros((5, HORIZON))
    for batch in data.loader("test"):
        probabilities = torch.log_softmax(logits_of(batch).double(), dim=-1)
        for b, h, n in target_mask(batch).nonzero().tolist():
            target = int(batch["future_cluster_ids"][b, h, n])
            known = [x for x in batch["input_cluster_ids"][b, :, n].tolist() if x >= 0]
            hit = int(probabilities[b, h, n].argmax()) == target
            changed = bool(known) and known[-1] != target
            sums[:, h] += [-float(probabilities[b, h, n, target]) / math.log(2), hit, 1, hit and changed, changed]
    scores = score_model(forward, data.loader("test"), HORIZON, CPU)
    np.testing.assert_allclose(scores["nll_bits"], sums[0] / sums[2], atol=1e-4)
    assert scores["accuracy"] == (sums[1] / sums[2]).tolist()
    assert scores["accuracy_changed"] == (sums[3] / sums[4]).tolist()


def test_accuracy_on_changed_positions_compares_with_the_last_id_that_was_observed():
    batch = make_batch(
        history=[[0, 1], [1, -1], [-1, -1], [2, 3]],
        targets=[[1, 2], [1, 4], [1, 4], [-1, 4]],
    )
    prediction = Prediction(np.array([[[1], [2]], [[0], [4]], [[1], [4]], [[0], [0]]]), None)
    scores = score({"fixed": lambda _: prediction}, [batch], HORIZON)["fixed"]
    assert scores["accuracy"] == [2 / 3, 3 / 4]
    # h = 1: no known target differs; h = 2: 1 -> 2 hit, 1 -> 4 hit, nothing known (not counted), 3 -> 4 missed.
    assert scores["accuracy_changed"] == [None, 2 / 3]
    assert scores["nll_bits"] is None


def test_masked_positions_count_nowhere_whatever_stands_there():
    batch = make_batch([[0, 0], [0, 0]], [[1, 2], [3, 2]], mask=[[True, False], [False, False]])
    prediction = Prediction(np.full((2, 2, 1), 1), np.array([[[math.log(2)], [np.nan]], [[np.inf], [np.nan]]]))
    scores = score({"fixed": lambda _: prediction}, [batch], HORIZON)["fixed"]
    assert scores == {"nll_bits": [pytest.approx(1.0), None], "accuracy": [1.0, None], "accuracy_changed": [1.0, None]}


def test_scores_do_not_depend_on_the_batch_size(data):
    def plain(batch):
        return {
            "cluster_logits": torch.nn.functional.one_hot(batch["input_cluster_ids"][:, -1:] + 1, CLUSTERS + 1)[
                ..., 1:
            ].expand(-1, HORIZON, -1, -1)
        }

    whole = score_model(plain, data.loader("test"), HORIZON, CPU)
    loader = data.loader("test")
    loader.eval_batch_size = 100
    assert score_model(plain, loader, HORIZON, CPU)["accuracy"] == whole["accuracy"]
    np.testing.assert_allclose(score_model(plain, loader, HORIZON, CPU)["nll_bits"], whole["nll_bits"], rtol=1e-12)


def test_half_precision_logits_are_scored_in_float32(data):
    def half(batch):
        return {"cluster_logits": (logits_of(batch) - 1000).bfloat16()}

    def full(batch):
        return {"cluster_logits": (logits_of(batch) - 1000).bfloat16().float()}

    assert score_model(half, data.loader("test"), HORIZON, CPU) == score_model(full, data.loader("test"), HORIZON, CPU)


def score_model(forward, batches, horizon, device):
    return score({"model": ModelForecast([forward], device).predict}, batches, horizon)["model"]


def fitted(baselines, data):
    for baseline in baselines:
        fit(baseline, data)
    return baselines


def test_model_and_baselines_are_scored_in_the_shape_of_result_json(data):
    baselines = fitted([Persistence(), Interpolated()], data)
    test = score_beside_baselines([ModelForecast([forward], CPU)], baselines, data, HORIZON, CPU).test()
    assert json.loads(json.dumps(test)) == test
    assert test["model"] == score_model(forward, data.loader("test"), HORIZON, CPU)
    assert test["baselines"] == score_baselines(baselines, data, HORIZON)
    assert list(test["baselines"]) == ["persistence", "interpolated"]
    assert test["baselines"]["persistence"]["nll_bits"] is None
    assert set(test["model"]) == {"nll_bits", "accuracy", "accuracy_changed"}
    assert set(test["gains"]) == {"interpolated"}
    assert test["best_baseline"] == "interpolated"


def test_a_split_can_be_scored_where_there_is_no_validation(data):
    without = TrajectoryWindows(str(data.store.directory), 3, HORIZON, ByTime(0.8, 0.0, 0.2))
    scores = score_baselines(fitted([Interpolated()], without), without, HORIZON)
    assert scores["interpolated"]["accuracy"][0] > 0


def test_a_baseline_given_twice_is_refused():
    with pytest.raises(EmprotError, match="two forecasters are named 'persistence'"):
        check_names([Persistence(), Persistence()])


class Own(Interpolated):
    name, same_protein = "own", True


def test_a_baseline_that_knows_residues_is_left_out_on_proteins_that_training_lacks(data, caplog):
    by_group = TrajectoryWindows(str(data.store.directory), 3, HORIZON, ByGroup(validation=(), test=("B",)))
    baselines = fitted([Own(), Interpolated()], by_group)
    with caplog.at_level("INFO"):
        assert list(score_baselines(baselines, by_group, HORIZON)) == ["interpolated"]
    assert "own: left out of the test split, as training has no frame of B" in caplog.text
    assert list(score_baselines(baselines, by_group, HORIZON, "train")) == ["own", "interpolated"]


def test_scores_of_several_ranks_are_added_up(data, monkeypatch):
    whole = score({"persistence": fitted_persistence(data)}, data.loader("test"), HORIZON)["persistence"]
    parts = [HorizonScores(HORIZON), HorizonScores(HORIZON)]
    for i, batch in enumerate(data.loader("test")):
        targets, mask = batch["future_cluster_ids"].numpy(), target_mask(batch).numpy()
        last = last_known(batch["input_cluster_ids"].numpy())[:, None]
        changed = mask & (last >= 0) & (targets != last)
        parts[i % 2].add(fitted_persistence(data)(batch), targets, mask, changed)
    other = torch.from_numpy(np.stack(list(parts[1]._sums.values())))
    monkeypatch.setattr("emprot_core.evaluation.scores.sum_over_ranks", lambda sums: sums + other)
    assert parts[0].result() == whole


def fitted_persistence(data):
    baseline = Persistence()
    baseline.fit(data.loader("train"), (), CLUSTERS)
    return baseline.predict


def test_last_known_skips_missing_frames():
    history = np.array([[[1, 2, -1, 4], [5, -1, -1, 0], [-1, -1, -1, 3]]])
    assert last_known(history).tolist() == [[5, 2, -1, 3]]


def entry(nll, accuracy):
    return {"nll_bits": nll, "accuracy": accuracy, "accuracy_changed": accuracy}


def test_the_table_shows_every_forecaster_and_the_gain_over_the_best_baseline():
    test = {
        "model": entry([2.3955, 2.45, 2.5, 2.571], [0.41, 0.4, 0.39, 0.385]),
        "baselines": {
            "persistence": entry(None, [0.376, 0.35, 0.34, 0.33]),
            "interpolated": entry([2.568, 2.7, 2.8, 2.862], [0.4, 0.39, 0.38, 0.37]),
            "markov": entry([12.467, 2.5, None, 2.687], [0.4, 0.39, None, 0.37]),
        },
    }
    assert format_scores(test).splitlines() == [
        "                    NLL, bits                 accuracy",
        "                h=1   h=2   h=3   h=4    h=1   h=2   h=3   h=4",
        "model         2.396 2.450 2.500 2.571  0.410 0.400 0.390 0.385",
        "persistence       -     -     -     -  0.376 0.350 0.340 0.330",
        "interpolated  2.568 2.700 2.800 2.862  0.400 0.390 0.380 0.370",
        "markov        12.47 2.500     - 2.687  0.400 0.390     - 0.370",
        "",
        "             gain over interpolated, bits",
        "                 h=1    h=2    h=3    h=4",
        "model         +0.172 +0.250 +0.300 +0.291",
        "interpolated  +0.000 +0.000 +0.000 +0.000",
        "markov        -9.899 +0.200      - +0.175",
    ]
    shown = format_scores(test, always_shown=["markov"]).splitlines()
    assert shown[7].split("bits")[:2] == ["             gain over interpolated, ", "    gain over markov, "]
    assert max(map(len, shown)) <= 100


def test_the_table_tells_the_gain_with_its_interval_by_horizon_or_by_protein():
    ends = {"low": [0.11, None], "high": [0.23, None]}
    test = {
        "model": entry([2.0, 2.0], [0.5, 0.5]),
        "baselines": {"markov": entry([2.17, 2.2], [0.4, 0.4])},
        "gains": {"markov": {"bits": [0.17, 0.2], **ends}},
    }
    assert format_scores(test).split("\n\n")[-1].splitlines() == [
        "gain of the model over markov, the best baseline, in bits, with its 95 % interval:",
        "  h=1  +0.170  [+0.110, +0.230]",
        "  h=2  +0.200  no interval",
    ]
    test["gains"]["markov"] |= {"proteins": {"A": {"bits": [0.1, None], **ends}, "B": {"bits": [0.2, 0.3], **ends}}}
    assert "  A\n    h=1  +0.100  [+0.110, +0.230]\n    h=2  -  no interval\n  B" in format_scores(test)


def test_the_table_breaks_long_horizons_into_blocks_and_drops_the_gain_without_a_distribution():
    blocks = format_scores({"baselines": {"persistence": entry(None, [0.5] * 6)}}).split("\n\n")
    assert len(blocks) == 2
    assert "h=4" in blocks[0]
    assert "h=5" in blocks[1]
    assert "h=6" in blocks[1]
    assert "gain" not in blocks[0]
