import numpy as np
import pytest

from emprot_core.data.order import EpochOrder, WeightedOrder


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


COUNTS, WEIGHTS = np.array([10, 4, 0, 7, 5]), np.array([0.5, 2.0, 1.0, 0.0, 1.3])


def test_a_weighted_epoch_draws_each_item_by_its_weight_in_the_mean():
    weights = np.repeat(WEIGHTS, COUNTS)
    drawn = np.zeros(len(weights))
    for epoch in range(1000):
        order = WeightedOrder(COUNTS, WEIGHTS, 3, epoch)
        counts = np.bincount(order(np.arange(order.num_items)), minlength=len(weights))
        assert (abs(counts - weights) <= 1).all()
        drawn += counts
    share = order.num_items / (COUNTS * WEIGHTS).sum()
    np.testing.assert_allclose(drawn / 1000, weights * share, atol=0.05)


@pytest.mark.parametrize("weight", [1.0, 3.0])
def test_whole_weights_draw_each_item_exactly_so_often(weight):
    order = WeightedOrder(COUNTS, np.full(5, weight), 0, 0)
    assert order.num_items == weight * 26
    assert set(np.bincount(order(np.arange(order.num_items))).tolist()) == {weight}


def test_a_weighted_epoch_can_start_anywhere_and_depends_on_seed_and_epoch():
    orders = [WeightedOrder(COUNTS, WEIGHTS, *key) for key in [(3, 1), (3, 1), (4, 1), (3, 2)]]
    whole = [order(np.arange(order.num_items)).tolist() for order in orders]
    assert orders[0](np.arange(7, 12)).tolist() == whole[1][7:12]
    assert whole[0] not in whole[2:]


def test_the_draws_of_a_large_weighted_epoch_stay_inside():
    order = WeightedOrder(np.array([2**33, 0]), np.array([1 / 3, 5.0]), 0, 0)
    items = order(np.array([0, 1, order.num_items - 2, order.num_items - 1]))
    assert ((items >= 0) & (items < 2**33)).all()
