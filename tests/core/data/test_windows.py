import numpy as np
import pytest

from emprot_core.data.windows import SPAN_DTYPE, Windows, check_apart


def spans(*rows):
    return np.array(list(rows), dtype=SPAN_DTYPE)


def obvious_windows(rows, history, horizon, stride):
    """(trajectory, t, which targets count) of every window, by trying every frame."""
    found = []
    for trajectory, start, stop in rows:
        first = None
        for t in range(stop):
            mask = [start <= t + h < stop for h in range(1, horizon + 1)]
            if t - history + 1 < 0 or not any(mask):
                continue
            first = t if first is None else first
            if (t - first) % stride == 0:
                found.append((trajectory, t, mask))
    return found


def test_every_horizon_counts_each_frame_of_the_test_span_once():
    windows = Windows(spans((0, 200, 250)), np.array([250]), history=10, horizon=4)
    assert len(windows) == 53
    assert windows.locate(np.arange(53)).step_mask.sum(axis=0).tolist() == [50, 50, 50, 50]


def test_training_windows_start_where_a_whole_history_exists():
    windows = Windows(spans((0, 0, 175)), np.array([250]), history=10, horizon=4)
    places = windows.locate(np.arange(len(windows)))
    assert places.last_frame.tolist() == list(range(9, 174))
    assert places.step_mask[-1].tolist() == [True, False, False, False]


@pytest.mark.parametrize(("history", "horizon", "stride"), [(1, 1, 1), (3, 2, 1), (4, 5, 3), (10, 4, 2), (2, 7, 5)])
def test_windows_equal_those_found_by_trying_every_frame(history, horizon, stride):
    rows = [(0, 0, 7), (2, 5, 6), (1, 0, 3), (2, 9, 20), (3, 12, 30), (3, 31, 33)]
    windows = Windows(spans(*rows), np.array([7, 3, 20, 40]), history, horizon, stride)
    expected = obvious_windows(rows, history, horizon, stride)
    places = windows.locate(np.arange(len(windows)))
    got = zip(places.trajectory.tolist(), places.last_frame.tolist(), places.step_mask.tolist(), strict=True)
    assert list(got) == expected
    assert len(windows) == len(expected)


def test_windows_are_located_one_by_one_as_all_at_once():
    windows = Windows(spans((0, 0, 9), (1, 4, 50)), np.array([9, 50]), history=3, horizon=2)
    whole = windows.locate(np.arange(len(windows)))
    shuffled = np.random.default_rng(0).permutation(len(windows))
    assert windows.locate(shuffled).last_frame.tolist() == whole.last_frame[shuffled].tolist()


def test_a_trajectory_shorter_than_history_and_one_target_has_no_window():
    assert len(Windows(spans((0, 0, 10)), np.array([10]), history=10, horizon=4)) == 0
    assert len(Windows(spans((0, 0, 11)), np.array([11]), history=10, horizon=4)) == 1
    assert len(Windows(spans(), np.array([11]), history=10, horizon=4)) == 0


def test_windows_of_a_million_trajectories_need_no_list():
    count = 1_000_000
    rows = np.zeros(count, SPAN_DTYPE)
    rows["trajectory"], rows["stop"] = np.arange(count), 2500
    windows = Windows(rows, np.full(count, 2500), history=10, horizon=4)
    assert len(windows) == 2490 * count
    places = windows.locate(np.array([0, 2490 * count - 1, 2490 * 777 + 5]))
    assert places.trajectory.tolist() == [0, count - 1, 777]
    assert places.last_frame.tolist() == [9, 2498, 14]


def test_target_spans_leave_out_frames_without_a_whole_history_before_them():
    windows = Windows(spans((0, 0, 20), (1, 12, 20), (2, 0, 8)), np.array([20, 20, 8]), history=10, horizon=4)
    assert windows.target_spans().tolist() == [(0, 10, 20), (1, 12, 20)]


def test_a_span_outside_its_trajectory_is_refused():
    with pytest.raises(ValueError, match=r"span \[0, 12\) of trajectory 0, which has 11 frames"):
        Windows(spans((0, 0, 12)), np.array([11]), history=2, horizon=1)
    with pytest.raises(ValueError, match="which has 0 frames"):
        Windows(spans((5, 0, 12)), np.array([11]), history=2, horizon=1)


@pytest.mark.parametrize("size", ["history", "horizon", "stride"])
def test_sizes_below_one_are_refused_by_name(size):
    sizes = {"history": 2, "horizon": 2, "stride": 1, size: 0}
    with pytest.raises(ValueError, match=f"{size} is 0, expected at least 1"):
        Windows(spans((0, 0, 12)), np.array([12]), **sizes)


def test_partial_histories_give_windows_from_the_first_frame_on():
    windows = Windows(spans((0, 0, 20)), np.array([20]), history=10, horizon=4, partial_history=True)
    assert windows.locate(np.arange(len(windows))).last_frame.tolist() == list(range(19))
    assert windows.target_spans().tolist() == [(0, 1, 20)]


def test_a_frame_that_is_a_target_twice_is_refused_by_name():
    names = np.array(["first", "second"])
    apart = {"train": spans((0, 0, 5), (1, 0, 5)), "test": spans((0, 5, 9)), "validation": spans((1, 5, 6))}
    check_apart(apart, names)
    with pytest.raises(ValueError, match=r"frames 4 to 4 of second are targets twice, in train and in validation"):
        check_apart({**apart, "validation": spans((1, 4, 6))}, names)
    with pytest.raises(ValueError, match=r"frames 2 to 4 of first are targets twice, in train and in train"):
        check_apart({**apart, "train": spans((0, 0, 5), (0, 2, 8))}, names)
