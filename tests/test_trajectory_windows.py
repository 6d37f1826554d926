import pickle
import tracemalloc

import numpy as np
import pytest
from emprot_plugins.data.trajectory_windows import TrajectoryWindows
from emprot_plugins.splits.by_group import ByGroup
from emprot_plugins.splits.by_time import ByTime
from emprot_plugins.splits.stored import StoredSplit

from emprot_core import registry
from emprot_core.contracts import Vocabulary
from emprot_core.data.loader import WindowLoader
from emprot_core.data.store import StoreError, StoreWriter
from emprot_core.data.windows import SPAN_DTYPE

CLUSTERS = 6
SHAPES = {"apo_R1": (60, 4), "apo_R2": (50, 4), "holo_R1": (40, 7)}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    rng = np.random.default_rng(0)
    directory = tmp_path_factory.mktemp("data") / "store"
    with StoreWriter(directory, Vocabulary("test", CLUSTERS, {"name": "precomputed"})) as writer:
        for name, shape in SHAPES.items():
            writer.add(name, name.split("_")[0], rng.integers(-1, CLUSTERS, shape))
    return str(directory)


def make_data(store, **options):
    return TrajectoryWindows(store, **{"history": 5, "horizon": 3, "split": ByTime(0.7, 0.1, 0.2), **options})


def test_it_is_registered_under_its_name():
    assert registry.get("data", "TrajectoryWindows") is TrajectoryWindows


def test_windows_are_counted_per_split(store):
    data = make_data(store)
    # Training: targets 5 .. stop-1 at h = 1; validation and test: one window a target frame, and F - 1 before them.
    assert data.num_windows("train") == (42 - 5) + (35 - 5) + (28 - 5)
    assert data.num_windows("validation") == (6 + 2) + (5 + 2) + (4 + 2)
    assert data.num_windows("test") == (12 + 2) + (10 + 2) + (8 + 2)
    assert make_data(store, stride=4).num_windows("test") == 4 + 3 + 3


def test_it_tells_vocabulary_and_the_digest_of_the_store(store):
    data = make_data(store)
    assert (data.vocabulary.name, data.vocabulary.num_clusters) == ("test", CLUSTERS)
    assert data.digest == data.store.digest
    assert data.max_residues == 7


def test_loaders_take_batch_sizes_and_seed_from_the_choice(store):
    data = make_data(store, batch_size=2, eval_batch_size=5)
    loader = data.loader("train", seed=3)
    assert len(next(loader.steps(0, 0, 1))[0]["window_ids"]) == 2
    assert len(next(iter(loader))["window_ids"]) == 5
    other = data.loader("train", seed=4)
    first = [next(each.steps(0, 0, 4))[0]["window_ids"].tolist() for each in (loader, other)]
    assert first[0] != first[1]


def test_all_windows_gives_each_window_of_the_split_once(store):
    data = make_data(store)
    seen = [w for batch in data.all_windows("validation") for w in batch["window_ids"].tolist()]
    assert seen == list(range(data.num_windows("validation")))


@pytest.mark.parametrize(
    ("patterns", "frames"), [(["apo_R2"], {50}), (["*_R1"], {60, 40}), (["holo*", "apo_R2", "apo_R?"], {60, 50, 40})]
)
def test_trajectories_are_chosen_by_name_or_pattern(store, patterns, frames):
    data = make_data(store, trajectories=patterns)
    ends = {int(row["stop"]) for row in data._windows["test"].spans}
    assert ends == frames


def test_a_chosen_trajectory_gives_its_own_ids(store):
    data = make_data(store, trajectories=["apo_R2"])
    first = next(iter(data.loader("test")))  # test targets start at frame 40, so that t = 37 is the first window
    assert data.max_residues == 4
    assert np.array_equal(first["input_cluster_ids"][0], data.store.ids(1)[33:38])


def test_a_name_that_matches_nothing_is_answered_with_the_nearest(store):
    with pytest.raises(ValueError, match=r"no trajectory matches 'apo_R3'; did you mean 'apo_R[12]'"):
        make_data(store, trajectories=["apo_R1", "apo_R3"])
    with pytest.raises(ValueError, match="trajectories is an empty list; name some"):
        make_data(store, trajectories=[])
    with pytest.raises(ValueError, match=r"expected a list of names: \['apo_R1'\]"):
        make_data(store, trajectories="apo_R1")


def test_class_counts_are_those_of_the_training_frames_that_can_be_targets(store):
    data = make_data(store, trajectories=["apo_*"])
    expected = np.zeros(CLUSTERS, int)
    for trajectory, stop in [(0, 42), (1, 35)]:
        for value in data.store.ids(trajectory)[5:stop].ravel():
            if value >= 0:
                expected[value] += 1
    assert data.class_counts().tolist() == expected.tolist()


def test_a_split_without_windows_says_why_and_what_to_change(store):
    data = make_data(store, split=ByTime(0.8, 0.0, 0.2))
    with pytest.raises(ValueError, match=r"validation split has no windows: .*K=5 .*F=3 .*60 frames, 0 spans.*: none"):
        data.loader("validation")
    long = make_data(store, history=59)
    with pytest.raises(
        ValueError, match=r"K=59 .* got 3 trajectories of 40 to 60 frames, 3 spans .* \[0, 42\) of apo_R1"
    ):
        long.loader("train")
    assert long.num_windows("train") == 0
    assert long.num_windows("test") == 1


def test_splits_by_group_keep_their_trajectories(store):
    data = make_data(store, split=ByGroup(validation=0.0, test=["holo"]))
    assert {batch["input_cluster_ids"].shape[2] for batch in data.loader("test")} == {7}
    assert {batch["input_cluster_ids"].shape[2] for batch in data.loader("train")} == {4}


class BrokenSplit:
    def spans(self, index):
        return {"train": np.array([(5, 0, 10)], dtype=SPAN_DTYPE)}


def test_a_split_that_names_a_trajectory_that_is_not_there_is_refused(store):
    with pytest.raises(ValueError, match=r"span \[0, 10\) of trajectory 5, which has 0 frames"):
        make_data(store, split=BrokenSplit())


def test_loaders_can_be_pickled_and_go_on_alike(store):
    loader = make_data(store).loader("train", seed=1)
    copy = pickle.loads(pickle.dumps(loader))
    steps = [[b["window_ids"].tolist() for b in next(each.steps(0, 3, 2))] for each in (loader, copy)]
    assert steps[0] == steps[1]


def test_a_missing_store_is_refused(tmp_path):
    with pytest.raises(StoreError, match="is not a trajectory store"):
        make_data(str(tmp_path / "none"))


def write_store(directory, tokenizer="precomputed", clusters=CLUSTERS, **shapes):
    rng = np.random.default_rng(sum(map(ord, str(directory.name))))
    with StoreWriter(directory, Vocabulary("test", clusters, {"name": tokenizer})) as writer:
        for name, shape in shapes.items():
            writer.add(name, name.split("_")[0], rng.integers(-1, clusters, shape), time_step_ns=0.5)
    return str(directory)


@pytest.fixture(scope="module")
def second(tmp_path_factory):
    """Another store of the vocabulary, with one name and one group of the first store."""
    return write_store(tmp_path_factory.mktemp("data") / "second", apo_R1=(30, 4), membrane_protein_R1=(45, 5))


def test_several_stores_give_the_trajectories_of_each_under_its_name(store, second):
    data = make_data([store, second])
    assert data.store.index["name"].tolist() == [
        *(f"store/{name}" for name in SHAPES),
        "second/apo_R1",
        "second/membrane_protein_R1",
    ]
    assert data.store.index["group"].tolist() == ["apo", "apo", "holo", "apo", "membrane"]
    assert data.num_windows("train") == make_data(store).num_windows("train") + make_data(second).num_windows("train")
    only = make_data([store, second], trajectories=["second/apo_R1"])
    batch = next(iter(only.loader("test")))  # test targets start at frame 24, so that t = 21 is the first window
    assert np.array_equal(batch["input_cluster_ids"][0], make_data(second).store.ids(0)[17:22])
    assert batch["times"][0].tolist() == [-2.0, -1.5, -1.0, -0.5, 0.0]


def test_a_list_of_one_store_is_that_store(store):
    assert make_data([store]).digest == make_data(store).digest
    assert make_data([store]).store.index["name"].tolist() == list(SHAPES)


def test_the_digest_of_several_stores_is_of_all_and_of_their_order(store, second):
    digests = {make_data(s).digest for s in (store, second, [store, second], [second, store])}
    assert len(digests) == 4


def test_stores_of_one_folder_name_are_told_apart_by_those_above(tmp_path):
    paths = [write_store(tmp_path / name / "pb", a=(20, 3)) for name in ("x", "y")]
    assert make_data(paths).store.index["name"].tolist() == ["x/a", "y/a"]


def test_a_group_of_two_stores_lies_on_one_side_of_a_split(store, second):
    data = make_data([store, second], split=ByGroup(validation=0.0, test=["apo"]))
    assert {data.store.index["group"][row] for row in data._windows["test"].spans["trajectory"]} == {"apo"}
    assert len(data._windows["test"].spans) == 3


def test_stores_of_other_classes_are_refused_with_what_differs(store, tmp_path):
    other = write_store(tmp_path / "other", tokenizer="kmeans", a=(20, 3))
    with pytest.raises(
        StoreError, match=r"the tokenizer's name is 'precomputed' and 'kmeans'.*; prepare both with one"
    ):
        make_data([store, other])
    larger = write_store(tmp_path / "larger", clusters=7, a=(20, 3))
    with pytest.raises(StoreError, match="num_clusters is 6 and 7"):
        make_data([store, larger])
    fitted = []
    for name, centroids in (("one", np.zeros((6, 2))), ("two", np.ones((6, 2)))):
        with StoreWriter(tmp_path / name, Vocabulary("test", CLUSTERS, {})) as writer:
            writer.add("a", "", np.zeros((20, 3), int))
            writer.add_array("centroids", centroids)
            writer.add_array("split_train", np.zeros(int(centroids.max()), SPAN_DTYPE))  # may well differ
        fitted.append(str(tmp_path / name))
    with pytest.raises(StoreError, match=r"SHA-256 of centroids\.npy is "):
        make_data(fitted)


def test_a_store_given_twice_or_no_store_is_refused(store):
    with pytest.raises(StoreError, match="store is given twice"):
        make_data([store, store])
    with pytest.raises(StoreError, match="empty list of stores"):
        make_data([])


def test_bad_ids_in_one_of_several_stores_are_named(store, second):
    joined = make_data([store, second]).store
    joined.stores[1].vocabulary = Vocabulary("test", 2, {})
    with pytest.raises(StoreError, match=r"second/ids-00000\.npy: trajectory membrane_protein_R1, frame "):
        joined.check_ids(4)
    joined.check_ids(0)


def test_stored_splits_of_several_stores_are_joined(tmp_path):
    paths = []
    for name, frames in (("x", 20), ("y", 30)):
        with StoreWriter(tmp_path / name, Vocabulary("test", CLUSTERS, {})) as writer:
            writer.add("a", name, np.zeros((frames, 2), int))
            writer.add("b", name, np.ones((frames, 2), int))
            half = frames // 2
            for split, start, stop in (("train", 0, half), ("validation", 0, 0), ("test", half, frames)):
                rows = [(row, start, stop) for row in (0, 1) if start < stop]
                writer.add_array(f"split_{split}", np.array(rows, SPAN_DTYPE))
        paths.append(str(tmp_path / name))
    stored = StoredSplit(paths)
    data = make_data(paths, split=stored)
    assert data._windows["train"].spans.tolist() == [(0, 0, 10), (1, 0, 10), (2, 0, 15), (3, 0, 15)]
    part = make_data(paths, split=stored, trajectories=["y/b"])
    assert part._windows["test"].spans.tolist() == [(3, 15, 30)]
    with pytest.raises(ValueError, match=r"no trajectory 'x/a', but a, b; bind Stored\.store to the stores of"):
        make_data(paths, split=StoredSplit(paths[0]))


def drawn(data, epoch=0, seed=0, batches=1):
    steps = data.loader("train", seed=seed).steps(epoch, 0, batches)
    return [window for step in steps for batch in step for window in batch["window_ids"].tolist()]


def train_windows_of(data, name):
    """The numbers of a trajectory's training windows."""
    windows = data._windows["train"]
    places = windows.locate(np.arange(len(windows)))
    return set(np.flatnonzero(data.store.index["name"][places.trajectory] == name).tolist())


def test_an_epoch_takes_each_window_as_often_as_the_weight_of_its_trajectory(store):
    data = make_data(store, weights={"apo*": 3.0, "apo_R2": 2, "holo_R1": 0.0})
    assert data.loader("train").num_steps(1) == -(-(3 * 37 + 2 * 30) // 4)
    counts = np.bincount(drawn(data), minlength=data.num_windows("train"))
    for name, weight in {"apo_R1": 3, "apo_R2": 2, "holo_R1": 0}.items():
        assert set(counts[list(train_windows_of(data, name))].tolist()) == {weight}


def test_weights_of_one_change_nothing_but_the_order(store):
    assert sorted(drawn(make_data(store, weights={"*": 1.0}))) == sorted(drawn(make_data(store)))
    assert drawn(make_data(store, weights={})) != drawn(make_data(store, weights={}), epoch=1)


def test_a_weight_of_a_half_takes_every_other_window_and_all_of_them_over_epochs(store):
    data = make_data(store, weights={"holo_R1": 0.5})
    windows = train_windows_of(data, "holo_R1")
    taken = [sorted(windows & set(drawn(data, epoch))) for epoch in range(20)]
    assert {len(some) for some in taken} <= {11, 12}  # of 23
    assert all(set(np.diff(some)) <= {2, 3} for some in taken)  # a step is 78.5 / 78 of a window's length
    assert set().union(*map(set, taken)) == windows


def test_weights_leave_validation_test_and_what_baselines_see_alone(store):
    plain, weighted = make_data(store), make_data(store, weights={"*": 0.25, "apo_R1": 4.0})
    for split in ("train", "validation", "test"):
        assert weighted.num_windows(split) == plain.num_windows(split)
        seen = [w for batch in weighted.all_windows(split) for w in batch["window_ids"].tolist()]
        assert seen == list(range(plain.num_windows(split)))
    assert weighted.class_counts().tolist() == plain.class_counts().tolist()


@pytest.mark.parametrize("first_step", [0, 3])
def test_weighted_steps_depend_on_neither_ranks_nor_where_they_start(store, first_step):
    data = make_data(store, weights={"apo*": 1.7, "holo_R1": 0.4})
    gather = data.loader("train").gather
    loaders = [WindowLoader(gather, 4, seed=5, rank=rank, world_size=2) for rank in range(2)]
    alone = list(WindowLoader(gather, 4, seed=5, rank=0, world_size=1).steps(1, 0, 2))[first_step:]
    ranks = [list(loader.steps(1, first_step, 1)) for loader in loaders]
    assert len(alone) == len(ranks[0]) == len(ranks[1])
    for step, *parts in zip(alone, *ranks, strict=True):
        numbers = sorted(w for batch in step for w in batch["window_ids"].tolist())
        assert numbers == sorted(
            w
            for part in parts
            for batch in part
            for w in batch["window_ids"][batch["future_step_mask"].any(1)].tolist()
        )


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (
            {"apo_R9": 2.0},
            r"no trajectory matches 'apo_R9'; did you mean 'apo_R[12]'\?.*correct TrajectoryWindows.weights",
        ),
        ({"apo_R1": -1.0}, r"the weight of 'apo_R1' is -1.0, expected a finite number, 0 or more"),
        ({"apo_R1": float("nan")}, "the weight of 'apo_R1' is nan"),
        ({"apo_R1": "2"}, "the weight of 'apo_R1' is '2'"),
        ([1.0, 2.0], r"weights are \[1.0, 2.0\], expected weights by name or pattern"),
    ],
)
def test_weights_that_cannot_be_are_refused(store, weights, message):
    with pytest.raises(ValueError, match=message):
        make_data(store, weights=weights)


def test_weights_that_leave_nothing_to_train_on_are_refused(store):
    with pytest.raises(ValueError, match=r"weights of the \d+ training windows add up to less than a half"):
        make_data(store, weights={"*": 0.001}).loader("train")
    assert next(iter(make_data(store, weights={"*": 0.001}).loader("test")))


def test_a_loader_of_several_weighted_stores_can_be_pickled(store, second):
    loader = make_data([store, second], weights={"second/*": 2.0}).loader("train", seed=1)
    copy = pickle.loads(pickle.dumps(loader))
    steps = [[b["window_ids"].tolist() for b in next(each.steps(0, 3, 2))] for each in (loader, copy)]
    assert steps[0] == steps[1]


@pytest.mark.slow
@pytest.mark.parametrize("split", [ByGroup(), ByTime(0.6, 0.2, 0.2)])
def test_a_hundred_thousand_trajectories_take_memory_for_the_index_alone(tmp_path, split):
    count, ids = 100_000, np.arange(64).reshape(16, 4) % CLUSTERS
    with StoreWriter(tmp_path / "large", Vocabulary("test", CLUSTERS, {})) as writer:
        for row in range(count):
            writer.add(f"protein{row // 3:06d}_R{row % 3}", f"P{row // 3:06d}", ids)
    tracemalloc.start()
    data = TrajectoryWindows(str(tmp_path / "large"), history=4, horizon=2, split=split)
    step = next(data.loader("train").steps(3, 5000, 1))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(step[0]["window_ids"]) == 4
    assert sum(data.num_windows(name) for name in ("train", "validation", "test")) > 10 * count
    assert peak < 300 * count  # 138 and 218 bytes each were seen; a row of the index has 112
