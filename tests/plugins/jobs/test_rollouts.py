"""Rollouts, drawn from forecasters whose distribution is known."""

import numpy as np
import pytest
from emprot_plugins.jobs.rollout_store import Origin, write_rollouts
from emprot_plugins.jobs.rollouts import Plan, Sampler, Start, roll_out
from scipy.stats import chisquare

from emprot_core.contracts import Vocabulary
from emprot_core.data.store import StoreError, StoreWriter, TrajectoryStore
from emprot_core.errors import EmprotError

CHAIN = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.3, 0.3, 0.4]])
PAST = np.array([[0, 1, 2, -1], [0, 0, 1, -1]])
START = Start("t", "G", float("nan"), PAST)


class Markov:
    """p(y | last) of a chain, to any horizon, and a count of how many windows it was asked for."""

    name = "chain"

    def __init__(self) -> None:
        self.windows = 0

    def probabilities(self, batch, horizon):
        last = batch["input_cluster_ids"][:, -1].numpy()
        self.windows += len(last)
        return np.linalg.matrix_power(CHAIN, horizon)[np.maximum(last, 0)]


def plan(num_frames=30, way="one_step", **sampling):
    return Plan(num_frames, input_frames=4, horizon=3, sampler=Sampler(**sampling), way=way)


def drawn(seeds, own_plan, start=START):
    return np.concatenate(list(roll_out(Markov(), start, seeds, own_plan)), axis=1)


@pytest.mark.parametrize("way", ["one_step", "direct"])
def test_rollouts_follow_the_distribution_that_they_are_drawn_from(way):
    ids = drawn(range(8), plan(2000, way))
    for before in range(3):
        after = np.bincount(ids[:, 1:, :3][ids[:, :-1, :3] == before], minlength=3)
        if way == "one_step":
            assert chisquare(after, CHAIN[before] * after.sum()).pvalue > 1e-3
    stationary = np.linalg.matrix_power(CHAIN, 100)[0]
    assert np.bincount(ids[:, :, :3].ravel()) / ids[:, :, :3].size == pytest.approx(stationary, abs=0.02)


def test_a_rollout_depends_on_its_seed_and_trajectory_alone():
    many = drawn(range(5), plan())
    assert (drawn([3], plan())[0] == many[3]).all()
    assert (many[0] != many[1]).any()
    other = drawn([3], plan(), START._replace(trajectory="u"))
    assert (other[0] != many[3]).any()
    assert (drawn([3], plan(60))[0, :30] == many[3]).all()


def test_a_residue_without_an_id_stays_without_one():
    ids = drawn(range(2), plan())
    assert (ids[:, :, 3] == -1).all()
    assert (ids[:, :, :3] >= 0).all()


def test_going_on_from_what_was_drawn_gives_the_same_ids():
    for way in ("one_step", "direct"):
        whole = drawn(range(3), plan(30, way))
        past = np.concatenate([np.broadcast_to(PAST, (3, *PAST.shape)), whole[:, :12]], axis=1)
        rest = roll_out(Markov(), START._replace(past=past), range(3), plan(30, way), first_frame=12)
        assert (np.concatenate(list(rest), axis=1) == whole[:, 12:]).all()


def test_a_low_temperature_and_a_small_share_take_the_most_probable_class():
    uniform = np.random.default_rng(0).random((1000, 3))
    probabilities = np.broadcast_to(CHAIN, (1000, 3, 3))
    assert (Sampler(temperature=0.01)(probabilities, uniform) == CHAIN.argmax(-1)).all()
    assert (Sampler(top_p=0.05)(probabilities, uniform) == CHAIN.argmax(-1)).all()
    two = Sampler(top_p=0.85)(probabilities, uniform)
    assert set(two[:, 0]) == {0, 1}
    assert (two[:, 0] == 0).mean() == pytest.approx(7 / 9, abs=0.05)
    hot = Sampler(temperature=2)(probabilities, uniform)[:, 0]
    expected = CHAIN[0] ** 0.5 / (CHAIN[0] ** 0.5).sum()
    assert np.bincount(hot) / 1000 == pytest.approx(expected, abs=0.05)
    for wrong in ({"temperature": 0}, {"top_p": 0}, {"top_p": 1.5}):
        with pytest.raises(EmprotError, match="expected a number"):
            Sampler(**wrong)


def test_a_class_without_probability_is_never_drawn():
    uniform = np.array([0.0, 0.5, 1 - 2**-53])
    assert Sampler()(np.broadcast_to([0.0, 0.5, 0.5, 0.0], (3, 4)), uniform).tolist() == [1, 2, 2]


@pytest.fixture
def store(tmp_path):
    with StoreWriter(tmp_path / "store", Vocabulary("v", 3, {"name": "v"})) as writer:
        writer.add("t", "G", PAST)
        writer.add_array("class_ids", np.array([10, 20, 30]))
    return TrajectoryStore(tmp_path / "store")


def test_an_interrupted_store_of_rollouts_goes_on_from_its_chunks(store, tmp_path, monkeypatch):
    monkeypatch.setattr("emprot_plugins.jobs.rollout_store._FRAMES_A_CHUNK", 10)
    monkeypatch.setattr("emprot_plugins.jobs.rollout_store._SEEDS_AT_ONCE", 2)
    arguments = ([Origin(0, 1, START)], store, 3, plan(25), "model of step 7")
    write_rollouts(tmp_path / "whole", Markov(), *arguments)

    class Dies(Markov):
        def probabilities(self, batch, horizon):
            if self.windows >= 30:
                raise KeyboardInterrupt
            return super().probabilities(batch, horizon)

    with pytest.raises(KeyboardInterrupt):
        write_rollouts(tmp_path / "rollouts", Dies(), *arguments)
    assert not (tmp_path / "rollouts").exists()
    again = Markov()
    write_rollouts(tmp_path / "rollouts", again, *arguments)
    assert again.windows == 3 * 25 - 20
    whole, rollouts = (TrajectoryStore(tmp_path / name, verify=True) for name in ("whole", "rollouts"))
    assert rollouts.digest == whole.digest
    assert rollouts.index["name"].tolist() == ["t-seed0", "t-seed1", "t-seed2"]
    assert (rollouts.ids(1) == drawn([1], plan(25))[0]).all()
    assert rollouts.original_ids(rollouts.ids(0)).max() >= 10
    assert not (tmp_path / "rollouts.parts").exists()


def test_other_rollouts_in_the_place_are_refused_before_any_is_drawn(store, tmp_path):
    write_rollouts(tmp_path / "rollouts", Markov(), [Origin(0, 1, START)], store, 3, plan(5), "model of step 7")
    again = Markov()
    with pytest.raises(StoreError, match=r"rollouts exists, with other rollouts; remove it"):
        write_rollouts(tmp_path / "rollouts", again, [Origin(0, 1, START)], store, 3, plan(6), "model of step 7")
    assert again.windows == 0


def test_chunks_of_other_arguments_are_not_used(store, tmp_path):
    (tmp_path / "rollouts.parts" / "0-0").mkdir(parents=True)
    np.save(tmp_path / "rollouts.parts" / "0-0" / "0-5.npy", np.zeros((2, 5, 4), np.int32))
    (tmp_path / "rollouts.parts" / "key").write_text("another")
    write_rollouts(tmp_path / "rollouts", Markov(), [Origin(0, 1, START)], store, 2, plan(5), "model")
    assert (TrajectoryStore(tmp_path / "rollouts").ids(0) == drawn([0], plan(5))[0]).all()
