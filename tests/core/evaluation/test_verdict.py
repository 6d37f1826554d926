"""Token scores, gains and the verdict, on forecasts whose gains are set by hand."""

import math

import numpy as np
import pytest
import torch
from emprot_plugins.data.trajectory_windows import TrajectoryWindows
from emprot_plugins.splits.by_time import ByTime

from emprot_core.batch import group_id, target_mask
from emprot_core.contracts import Prediction, Vocabulary
from emprot_core.data.store import StoreWriter
from emprot_core.evaluation.intervals import MANY_PROTEINS
from emprot_core.evaluation.scored_windows import group_names
from emprot_core.evaluation.scores import score
from emprot_core.evaluation.token_scores import TokenScores
from emprot_core.evaluation.verdict import judge, verdict_line

HORIZON = 2


def store(tmp_path, num_proteins: int, num_frames: int = 60):
    rng = np.random.default_rng(0)
    with StoreWriter(tmp_path / "store", Vocabulary("test", 5, {})) as writer:
        for i in range(num_proteins):
            writer.add(f"t{i}", f"G{i}", rng.integers(-1, 5, (num_frames, 3 + i % 2)))
    split = ByTime(0.5, 0.0, 0.5)
    return TrajectoryWindows(str(tmp_path / "store"), history=3, horizon=HORIZON, split=split, batch_size=4)


def forecaster(nats: float, noise: float = 0.0):
    """The NLL is `nats`, more or less by noise that a position fixes."""

    def predict(batch) -> Prediction:
        targets = batch["future_cluster_ids"].numpy()
        place = np.sin(1.7 * batch["window_ids"].numpy()[:, None, None] + 0.9 * np.arange(targets.shape[2]))
        return Prediction(targets, np.broadcast_to(nats + noise * place, targets.shape))

    return predict


def judged(data, gain_nats: float, noise: float = 0.1, others: float = 5.0):
    forecasters = {"bar": forecaster(2.0), "weak": forecaster(others), "model": forecaster(2.0 - gain_nats, noise)}
    tokens = TokenScores("model")
    scores = score(forecasters, data.loader("test"), HORIZON, tokens=[tokens])
    tokens.merge()
    return judge(tokens, scores, group_names(data, "test")), tokens


@pytest.mark.parametrize(("gain", "verdict"), [(0.5, "better"), (-0.5, "worse"), (0.0, "undecided")])
def test_the_verdict_reads_the_interval_of_the_gain_over_the_best_baseline(tmp_path, gain, verdict) -> None:
    test, _ = judged(store(tmp_path, 1), gain)
    assert test["best_baseline"] == "bar"
    assert test["gains"]["bar"]["bits"] == pytest.approx([gain / math.log(2)] * HORIZON, abs=0.03)
    assert (test["verdict"], test["verdict_by_horizon"]) == (verdict, [verdict] * HORIZON)
    assert verdict_line(test).startswith(f"verdict: {verdict} ")
    assert "bar, the best baseline" in verdict_line(test)
    for low, bits, high in zip(*(test["gains"]["weak"][key] for key in ("low", "bits", "high")), strict=True):
        assert low < bits < high


def test_two_to_five_proteins_are_listed_and_have_no_common_interval(tmp_path) -> None:
    test, _ = judged(store(tmp_path, 3), 0.5)
    gain = test["gains"]["bar"]
    assert gain["low"] == gain["high"] == [None] * HORIZON
    assert set(gain["proteins"]) == {"G0", "G1", "G2"}
    assert all(low > 0 for own in gain["proteins"].values() for low in own["low"])
    assert test["verdict"] == "undecided"
    assert verdict_line(test).endswith("there is no interval, which takes 5 frames of one protein, or 6 proteins")


def test_from_six_proteins_on_each_is_one_number(tmp_path) -> None:
    test, _ = judged(store(tmp_path, MANY_PROTEINS), 0.5)
    assert test["verdict"] == "better"
    assert "proteins" not in test["gains"]["bar"]
    assert test["gains"]["bar"]["num_proteins"] == MANY_PROTEINS


def test_the_gain_over_many_proteins_lies_in_its_interval_however_unlike_their_sizes_are(tmp_path) -> None:
    rng = np.random.default_rng(0)
    with StoreWriter(tmp_path / "store", Vocabulary("test", 5, {})) as writer:
        for i, num_frames in enumerate([900, *[30] * 8]):
            writer.add(f"t{i}", f"G{i}", rng.integers(0, 5, (num_frames, 3)))
    data = TrajectoryWindows(str(tmp_path / "store"), 3, HORIZON, ByTime(0.5, 0.0, 0.5), batch_size=4)
    large = group_id("G0")

    def model(batch) -> Prediction:  # better on the large protein, worse on the small ones
        nats = np.where(batch["group_ids"].numpy() == large, 1.0, 3.0)[:, None, None]
        return Prediction(batch["future_cluster_ids"].numpy(), np.broadcast_to(nats, batch["future_cluster_ids"].shape))

    tokens = TokenScores("model")
    scores = score({"bar": forecaster(2.0), "model": model}, data.loader("test"), HORIZON, tokens=[tokens])
    tokens.merge()
    test = judge(tokens, scores, group_names(data, "test"))
    gain = test["gains"]["bar"]
    assert gain["bits"] == pytest.approx([-7 / 9 / math.log(2)] * HORIZON)
    assert all(low < bits < high for low, bits, high in zip(gain["low"], gain["bits"], gain["high"], strict=True))


def test_a_split_without_a_known_target_has_no_verdict(tmp_path) -> None:
    with StoreWriter(tmp_path / "store", Vocabulary("test", 5, {})) as writer:
        ids = np.zeros((60, 3), np.int64)
        ids[24:] = -1
        writer.add("t", "G", ids)
    data = TrajectoryWindows(str(tmp_path / "store"), 3, HORIZON, ByTime(0.4, 0.0, 0.4), batch_size=4)
    test, _ = judged(data, 0.5)
    assert (test["gains"], test["best_baseline"], test["verdict"]) == ({}, None, "undecided")
    assert verdict_line(test).startswith("verdict: none")


def test_without_a_distribution_there_is_no_verdict(tmp_path) -> None:
    tokens, data = TokenScores("model"), store(tmp_path, 1)
    scores = score(
        {"point": lambda batch: Prediction(batch["future_cluster_ids"].numpy(), None), "model": forecaster(1.0)},
        data.loader("test"),
        HORIZON,
        tokens=[tokens],
    )
    tokens.merge()
    test = judge(tokens, scores, {})
    assert (test["gains"], test["best_baseline"], test["verdict"]) == ({}, None, "undecided")
    assert verdict_line(test) == ("verdict: none, as no baseline gives a distribution; list some in Train.baselines")


def test_token_scores_are_kept_by_trajectory_frame_residue_and_horizon(tmp_path) -> None:
    data = store(tmp_path, 2)
    _, tokens = judged(data, 0.5)
    arrays = tokens.arrays(data, "test")
    assert arrays["trajectories"].tolist() == ["t0", "t1"]
    assert arrays["forecasters"].tolist() == ["bar", "weak", "model"]
    bits = arrays["nll_bits_1"]
    assert bits.dtype == np.float32
    assert arrays["frames_1"].tolist() == list(range(30, 60))
    assert bits.shape == (3, 30, 4, HORIZON)
    scored = ~np.isnan(bits[0])
    for step in range(HORIZON):
        assert np.array_equal(scored[:, :, step], data.store.ids(1)[30:] >= 0)
    np.testing.assert_allclose(bits[0][scored], 2.0 / math.log(2), rtol=1e-6)


def test_of_too_many_numbers_the_sums_are_kept(tmp_path) -> None:
    data = store(tmp_path, 2)
    whole, few = TokenScores("model"), TokenScores("model", max_numbers=100)
    for tokens in (whole, few):
        score({"bar": forecaster(2.0, 0.3), "model": forecaster(1.0)}, data.loader("test"), HORIZON, tokens=[tokens])
        tokens.merge()
    kept, sums = whole.arrays(data, "test"), few.arrays(data, "test")
    assert (bool(kept["whole"]), bool(sums["whole"])) == (True, False)
    assert "nll_bits_0" not in sums
    np.testing.assert_allclose(sums["frame_sums_1"], np.nansum(kept["nll_bits_1"], axis=2), rtol=1e-5)
    assert np.array_equal(sums["frame_counts_1"], (~np.isnan(kept["nll_bits_1"][0])).sum(axis=1))
    np.testing.assert_allclose(sums["residue_sums_1"], np.nansum(kept["nll_bits_1"], axis=1), rtol=1e-5)
    for before, after in zip(whole.gains("bar", group_id("G1")), few.gains("bar", group_id("G1")), strict=True):
        np.testing.assert_equal(before, after)


def test_what_ranks_collected_is_joined_in_the_order_of_the_windows(tmp_path, monkeypatch) -> None:
    data, forecasters = store(tmp_path, 2), {"bar": forecaster(2.0, 0.3), "model": forecaster(1.0, 0.1)}
    whole, ranks = TokenScores("model"), [TokenScores("model"), TokenScores("model")]
    for i, batch in enumerate(data.loader("test")):
        nll = {name: predict(batch).nll_nats for name, predict in forecasters.items()}
        for tokens in (whole, ranks[1 - i % 2]):
            tokens.add(batch, target_mask(batch).numpy(), nll)
    whole.merge()
    parts = [dict(tokens.__dict__) for tokens in ranks]
    gathered = lambda own: parts if isinstance(own, dict) else [own]  # noqa: E731
    monkeypatch.setattr("emprot_core.evaluation.token_scores.gather", gathered)
    ranks[0].merge()
    a, b = whole.arrays(data, "test"), ranks[0].arrays(data, "test")
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name])
    for ours, theirs in zip(whole.gains("bar", group_id("G0")), ranks[0].gains("bar", group_id("G0")), strict=True):
        np.testing.assert_allclose(
            np.concatenate([np.ravel(x) for x in ours]), np.concatenate([np.ravel(x) for x in theirs])
        )


def test_group_ids_are_hashes_of_names_that_fit_a_tensor() -> None:
    assert group_id("P28222") == group_id("P28222") != group_id("P02699")
    assert 0 <= group_id("x") < 1 << 63
    torch.tensor([group_id("x")])


def test_of_very_many_proteins_no_sums_by_residue_are_kept(tmp_path, monkeypatch) -> None:
    data = store(tmp_path, MANY_PROTEINS)
    many, _ = judged(data, 0.5)
    monkeypatch.setattr("emprot_core.evaluation.token_scores.MAX_PROTEINS", 3)
    test, tokens = judged(data, 0.5)
    assert test == many
    assert not tokens.residues
    assert not tokens.squares
