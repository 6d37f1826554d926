import numpy as np
import pytest

from emprot_core.data.order import EpochOrder


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 16, 17, 99, 100, 101, 1000, 65537])
def test_order_holds_every_item_once(size):
    order = EpochOrder(size, seed=3, epoch=1)(np.arange(size))
    assert sorted(order.tolist()) == list(range(size))


def test_any_position_gives_the_same_item_alone_as_in_the_whole():
    order = EpochOrder(1000, seed=0, epoch=0)
    whole = order(np.arange(1000))
    assert [int(order(np.array([p]))[0]) for p in (0, 13, 999)] == whole[[0, 13, 999]].tolist()
    assert order(np.array([999, 13])).tolist() == whole[[999, 13]].tolist()


def test_order_is_the_same_for_the_same_seed_and_epoch_and_differs_otherwise():
    positions = np.arange(1000)
    orders = {(s, e): tuple(EpochOrder(1000, s, e)(positions).tolist()) for s in range(4) for e in range(4)}
    assert len(set(orders.values())) == 16
    assert orders[2, 3] == tuple(EpochOrder(1000, 2, 3)(positions).tolist())


def test_order_is_known_so_that_a_resumed_run_finds_its_place_in_a_later_version():
    assert EpochOrder(10, seed=0, epoch=0)(np.arange(10)).tolist() == [0, 4, 5, 7, 2, 1, 3, 8, 6, 9]


def test_orders_of_huge_sets_are_distinct_at_sampled_positions():
    size = 3_000_000_000
    positions = np.arange(0, size, size // 5000)
    items = EpochOrder(size, seed=1, epoch=0)(positions)
    assert len(set(items.tolist())) == len(positions)
    assert items.min() >= 0
    assert items.max() < size
    assert abs(items.mean() / size - 0.5) < 0.03


@pytest.mark.parametrize("size", [5, 7, 12, 50])
def test_each_item_comes_first_equally_often_and_each_pair_too(size):
    trials = 3000
    first = np.array([EpochOrder(size, seed, 0)(np.arange(2)) for seed in range(trials)])
    singles = np.bincount(first[:, 0], minlength=size)
    pairs = np.bincount(first[:, 0] * size + first[:, 1], minlength=size * size)
    pairs = pairs[np.arange(size * size) % (size + 1) != 0]  # an item is not followed by itself
    for counts in (singles, pairs):
        expected = trials / len(counts)
        chi_square = ((counts - expected) ** 2 / expected).sum()
        degrees = len(counts) - 1
        assert chi_square < degrees + 5 * np.sqrt(2 * degrees)


def test_negative_seeds_are_refused():
    with pytest.raises(ValueError, match="got seed -1"):
        EpochOrder(10, seed=-1, epoch=0)
