import itertools

import numpy as np
import pytest
import torch

from emprot_core.batch import target_mask, validate_batch
from emprot_core.contracts import StepLoader, Vocabulary
from emprot_core.data.batches import Gather
from emprot_core.data.loader import WindowLoader
from emprot_core.data.store import StoreError, StoreWriter, TrajectoryStore
from emprot_core.data.windows import SPAN_DTYPE, Windows

CLUSTERS = 9
HISTORY, HORIZON = 3, 2


def make_gather(directory, trajectories):
    with StoreWriter(directory, Vocabulary("test", CLUSTERS, {})) as writer:
        for i, ids in enumerate(trajectories):
            writer.add(f"t{i}", f"g{i}", ids)
    store = TrajectoryStore(directory)
    spans = [(i, 0, len(ids)) for i, ids in enumerate(trajectories)]
    windows = Windows(np.array(spans, dtype=SPAN_DTYPE), store.index["num_frames"], HISTORY, HORIZON)
    return Gather(store, windows)


@pytest.fixture(scope="module")
def gather(tmp_path_factory):
    """50 windows of three proteins of 4, 2 and 6 residues."""
    rng = np.random.default_rng(0)
    shapes = [(23, 4), (18, 2), (18, 6)]
    return make_gather(tmp_path_factory.mktemp("data") / "store", [rng.integers(0, CLUSTERS, s) for s in shapes])


def window_ids(batches):
    return [w for batch in batches for w in batch["window_ids"].tolist()]


def counted_ids(batches):
    return [w for b in batches for w in b["window_ids"][target_mask(b).any(dim=(1, 2))].tolist()]


def test_it_is_a_step_loader(gather):
    assert isinstance(WindowLoader(gather, batch_size=4), StepLoader)


def test_an_epoch_holds_every_window_once_and_another_epoch_orders_them_anew(gather):
    loader = WindowLoader(gather, batch_size=4, seed=5)
    epochs = [[window_ids(step) for step in loader.steps(epoch, 0, 2)] for epoch in (0, 1)]
    for steps in epochs:
        assert len(steps) == loader.num_steps(2) == 7
        assert [len(step) for step in steps] == [8] * 6 + [2]
        assert sorted(itertools.chain(*steps)) == list(range(50))
    assert epochs[0] != epochs[1]


def test_a_step_sorts_its_windows_by_residue_count_before_it_cuts_them(gather):
    for step in WindowLoader(gather, batch_size=4).steps(0, 0, 3):
        lengths = torch.cat([batch["sequence_lengths"] for batch in step])
        assert lengths.tolist() == sorted(lengths.tolist())


def test_steps_can_start_at_any_step(gather):
    loader = WindowLoader(gather, batch_size=1, seed=1)
    whole = [window_ids(step) for step in loader.steps(3, 0, 1)]
    for first in (1, 49, 50):
        assert [window_ids(step) for step in loader.steps(3, first, 1)] == whole[first:]


def test_the_order_does_not_depend_on_how_many_steps_are_ordered_together(gather, monkeypatch):
    loader = WindowLoader(gather, batch_size=4, seed=1)
    together = [window_ids(step) for step in loader.steps(0, 0, 1)]
    monkeypatch.setattr("emprot_core.data.loader._STEPS_AT_ONCE", 3)
    assert [window_ids(step) for step in loader.steps(0, 0, 1)] == together


@pytest.mark.parametrize("first_step", [0, 2])
def test_the_windows_of_a_step_depend_on_neither_ranks_nor_accumulation(gather, first_step):
    contents = []
    for ranks, accumulation in [(1, 4), (2, 2), (4, 1)]:
        loaders = [WindowLoader(gather, 3, seed=2, rank=r, world_size=ranks) for r in range(ranks)]
        steps = [list(loader.steps(0, first_step, accumulation)) for loader in loaders]
        contents.append(
            [sorted(itertools.chain(*map(counted_ids, rank_steps))) for rank_steps in zip(*steps, strict=True)]
        )
        assert {len(s) for s in steps} == {loaders[0].num_steps(accumulation) - first_step}
    assert contents[0] == contents[1] == contents[2]
    assert all(len(set(step)) == len(step) for step in contents[0])


@pytest.mark.parametrize(("ranks", "batch_size", "accumulation"), [(2, 4, 3), (4, 16, 1), (3, 1, 5), (7, 8, 1)])
def test_every_rank_has_as_many_micro_batches_of_at_most_batch_size(gather, ranks, batch_size, accumulation):
    loaders = [WindowLoader(gather, batch_size, rank=r, world_size=ranks) for r in range(ranks)]
    seen = []
    for steps in zip(*(loader.steps(0, 0, accumulation) for loader in loaders), strict=True):
        assert len({len(step) for step in steps}) == 1
        assert 1 <= len(steps[0]) <= accumulation
        assert all(1 <= len(batch["window_ids"]) <= batch_size for step in steps for batch in step)
        seen += itertools.chain(*map(counted_ids, steps))
    assert sorted(seen) == list(range(50))


def test_a_rank_left_without_windows_gets_one_that_counts_nothing(gather):
    loaders = [WindowLoader(gather, batch_size=1, rank=r, world_size=4) for r in range(4)]
    last = [list(loader.steps(0, 12, 1))[-1] for loader in loaders]  # 50 windows: two are left for four ranks
    assert [len(counted_ids(step)) for step in last] == [1, 1, 0, 0]
    blank = last[3][0]
    assert not blank["future_step_mask"].any()
    assert (blank["future_cluster_ids"] == -1).all()


def test_iterating_gives_every_window_of_a_rank_once_in_the_order_of_the_data(gather):
    whole = WindowLoader(gather, batch_size=4, eval_batch_size=8)
    assert window_ids(whole) == list(range(50))
    assert len(list(whole)) == len(whole) == 7
    for ranks in (2, 3, 60):
        for rank in range(ranks):
            part = WindowLoader(gather, batch_size=4, rank=rank, world_size=ranks)
            assert window_ids(part) == list(range(50))[rank::ranks]
            assert len(list(part)) == len(part)


def test_unsharded_gives_every_rank_all_windows(gather):
    part = WindowLoader(gather, batch_size=4, rank=1, world_size=3)
    assert window_ids(part.unsharded()) == list(range(50))


def test_windows_without_a_valid_target_never_make_a_batch_of_their_own(tmp_path):
    rng = np.random.default_rng(1)
    empty = np.full((20, 3), -1)
    gather = make_gather(tmp_path / "store", [rng.integers(0, CLUSTERS, (40, 3)), empty, empty])
    loader = WindowLoader(gather, batch_size=2)
    valid = set(range(37))
    for batch in loader:
        validate_batch(batch, CLUSTERS)
    assert set(window_ids(loader)) >= valid
    steps = list(loader.steps(0, 0, 8))
    assert len(steps) == loader.num_steps(8)
    assert {w for step in steps for w in window_ids(step)} >= valid
    for batch in itertools.chain(*steps):
        validate_batch(batch, CLUSTERS)


def test_a_step_without_any_valid_target_is_refused_by_name(tmp_path):
    gather = make_gather(tmp_path / "store", [np.full((20, 3), -1)])
    with pytest.raises(StoreError, match=r"none of the 4 windows .* has a known target ID; the first is trajectory t0"):
        next(WindowLoader(gather, batch_size=4).steps(0, 0, 1))


@pytest.mark.parametrize("sizes", [{"batch_size": 0}, {"batch_size": 1, "eval_batch_size": 0}])
def test_batch_sizes_below_one_are_refused(gather, sizes):
    with pytest.raises(ValueError, match="batch_size is 0, expected at least 1"):
        WindowLoader(gather, **sizes)
