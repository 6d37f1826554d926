"""The synthetic process: its distribution by its formula, its entropy in closed form, windows that never repeat."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
import torch
from emprot_plugins.data.synthetic import Synthetic
from emprot_plugins.data.synthetic_process import CoupledProcess, entropy_bits
from emprot_plugins.data.synthetic_windows import SyntheticLoader, SyntheticWindows

from emprot_core import registry
from emprot_core.batch import validate_batch
from emprot_core.contracts import StepLoader


def small(**options) -> Synthetic:
    sizes = {"history": 3, "horizon": 2, "num_residues": 4, "num_clusters": 3, "batch_size": 4, "train_windows": 20}
    return Synthetic(**{**sizes, "validation_windows": 10, "test_windows": 10, **options})


def window_ids(batches) -> list[int]:
    return [window for batch in batches for window in batch["window_ids"].tolist()]


# --- the process ------------------------------------------------------------------------------------------------


def test_the_distribution_is_the_formula_of_the_process() -> None:
    process = CoupledProcess(1.0, 1.25, 0.75, 5, 4, seed=3)
    g1, g2, g3 = process.couplings
    previous, current = np.random.default_rng(0).integers(0, 4, (2, 6, 5))
    exact = process.next_distribution(previous, current)
    for window, n in itertools.product(range(6), range(5)):
        now, before, neighbour = current[window, n], previous[window, n], current[window, process.neighbour[n]]
        logits = [2 * (y == now) + g1[now, y] + 1.25 * g2[before, y] + 0.75 * g3[neighbour, y] for y in range(4)]
        np.testing.assert_allclose(exact[window, n], np.exp(logits) / np.exp(logits).sum(), rtol=1e-12)


@pytest.mark.parametrize("num_residues", [2, 3, 24])
def test_the_neighbours_form_one_cycle(num_residues: int) -> None:
    neighbour = CoupledProcess(1.0, 1.0, 1.0, num_residues, 3, seed=0).neighbour
    path = list(itertools.accumulate(range(num_residues - 1), lambda n, _: int(neighbour[n]), initial=0))
    assert sorted(path) == list(range(num_residues))
    assert neighbour[path[-1]] == 0


def test_drawn_frames_follow_the_distribution() -> None:
    process = CoupledProcess(1.0, 1.25, 1.25, 4, 3, seed=1)
    frames = process.run(np.random.default_rng(0).random((2000, 52, 4)))
    previous, current, following = frames[:, :-2], frames[:, 1:-1], frames[:, 2:]
    contexts = (current, previous, current[..., process.neighbour])
    counts = np.zeros((3, 3, 3, 3))
    np.add.at(counts, (*contexts, following), 1)
    seen = counts.sum(-1, keepdims=True)
    deviation = (counts / seen - process.transitions) / np.sqrt(process.transitions * (1 - process.transitions) / seen)
    assert seen.min() > 100
    assert np.sqrt(np.mean(deviation**2)) < 1.3  # 81 numbers of unit variance


def test_the_second_step_is_a_sum_over_all_next_frames() -> None:
    process = CoupledProcess(1.0, 1.25, 1.25, 3, 2, seed=2)
    previous, current = np.random.default_rng(1).integers(0, 2, (2, 4, 3))
    first = process.next_distribution(previous, current)
    expected = np.zeros((4, 3, 2))
    for following in itertools.product(range(2), repeat=3):
        frame = np.broadcast_to(following, (4, 3))
        probability = np.take_along_axis(first, frame[..., None], axis=-1).prod(axis=(1, 2))
        expected += probability[:, None, None] * process.next_distribution(current, frame)
    np.testing.assert_allclose(process.second_distribution(previous, current), expected, rtol=1e-12)


def test_entropy_is_in_bits_and_zero_for_a_certain_outcome() -> None:
    np.testing.assert_allclose(entropy_bits(np.array([[0.25] * 4, [1.0, 0, 0, 0], [0.5, 0.5, 0, 0]])), [2, 0, 1])


# --- what a forecaster can reach ----------------------------------------------------------------------------------


def stationary_entropy_bits(chain: np.ndarray) -> float:
    """The entropy rate of a Markov chain (S, S) in closed form."""
    values, vectors = np.linalg.eig(chain.T)
    weights = np.real(vectors[:, np.argmax(np.real(values))])
    return float(entropy_bits(chain) @ weights / weights.sum())


def test_without_coupling_the_entropy_rate_is_that_of_the_chain_of_pairs() -> None:
    data = Synthetic(2, 1, g3=0.0)
    table = data.process.transitions[:, :, 0]  # P[current, previous, y]
    chain = np.zeros((16, 16, 16, 16))  # (previous, current) -> (current, y)
    for previous, current in itertools.product(range(16), repeat=2):
        chain[previous, current, current] = table[current, previous]
    values, vectors = np.linalg.eig(chain.reshape(256, 256).T)
    weights = np.real(vectors[:, np.argmax(np.real(values))])
    rate = float(entropy_bits(table).T.reshape(-1) @ weights / weights.sum())
    assert data.bayes_nll_bits(1) == pytest.approx(rate, abs=0.005)


def test_without_memory_and_coupling_the_entropy_rate_is_that_of_the_markov_chain() -> None:
    data = Synthetic(2, 1, g2=0.0, g3=0.0)
    chain = data.process.transitions[:, 0, 0]
    assert data.bayes_nll_bits(1) == pytest.approx(stationary_entropy_bits(chain), abs=0.005)
    assert data.bayes_nll_bits(2, 200) > data.bayes_nll_bits(1, 200)


def test_the_entropy_rate_is_the_figure_that_the_gin_file_gives() -> None:
    assert Synthetic(2, 1).bayes_nll_bits(1) == pytest.approx(1.847, abs=0.003)


def test_windows_are_drawn_from_the_stationary_process() -> None:
    data = Synthetic(2, 1, test_windows=4000)
    batch = next(iter(SyntheticLoader(data.loader("test").windows, 4000, 1, 4000)))
    entropy = entropy_bits(batch["next_distribution"].double().numpy()).mean()
    assert entropy == pytest.approx(data.bayes_nll_bits(1), abs=0.015)


def test_an_unknown_horizon_is_refused() -> None:
    with pytest.raises(ValueError, match="horizon is 3, expected 1 or 2"):
        small().bayes_nll_bits(3)


# --- windows and batches --------------------------------------------------------------------------------------------


def test_it_is_registered_and_gives_valid_batches_with_the_exact_distribution() -> None:
    data = registry.get("data", "Synthetic")(history=3, horizon=2)
    loader = data.loader("train", seed=1)
    assert isinstance(loader, StepLoader)
    for batch in (next(loader.steps(0, 0, 1))[0], next(iter(data.loader("test")))):
        validate_batch(batch, 16, 2)
        previous, current = batch["input_cluster_ids"][:, -2:].unbind(1)
        exact = data.process.next_distribution(previous.numpy(), current.numpy())
        torch.testing.assert_close(batch["next_distribution"], torch.from_numpy(exact).float())


def test_a_window_depends_on_its_number_alone() -> None:
    windows = small().loader("train").windows
    together = windows(np.array([7, 2, 9]))
    alone = windows(np.array([2]))
    for key in ("input_cluster_ids", "future_cluster_ids", "next_distribution"):
        assert torch.equal(together[key][1:2], alone[key])


def test_other_splits_seeds_and_processes_give_other_windows() -> None:
    datas = [small(num_residues=24), small(num_residues=24, process_seed=1)]
    loaders = [
        data.loader(split, seed) for data in datas for split in ("train", "validation", "test") for seed in (0, 1)
    ]
    first = {tuple(next(iter(loader))["input_cluster_ids"].flatten().tolist()) for loader in loaders}
    assert len(first) == 12


def test_validation_is_the_same_every_time() -> None:
    first, second = (list(small().loader("validation")) for _ in range(2))
    assert all(
        torch.equal(a["future_cluster_ids"], b["future_cluster_ids"]) for a, b in zip(first, second, strict=True)
    )
    assert window_ids(first) == list(range(10))


def test_training_windows_never_come_twice() -> None:
    loader = small(train_windows=18, num_residues=24).loader("train")
    batches = [batch for epoch in range(3) for step in loader.steps(epoch, 0, 1) for batch in step]
    ids = window_ids(batches)
    assert len(ids) == len(set(ids)) == 3 * 20  # the last step of an epoch is filled up
    shown = torch.cat([batch["input_cluster_ids"] for batch in batches]).flatten(1)
    assert len({tuple(row) for row in shown.tolist()}) == 60


@pytest.mark.parametrize("first_step", [1, 4, Fraction(5, 2)])
def test_an_epoch_goes_on_at_any_step(first_step) -> None:
    loader = small().loader("train", seed=2)
    whole = [w for step in loader.steps(1, 0, 1) for w in window_ids(step)]
    rest = [w for step in loader.steps(1, first_step, 1) for w in window_ids(step)]
    assert rest[: len(whole) - int(first_step * 4)] == whole[int(first_step * 4) :]
    assert len(rest) % 4 == 0


def test_a_step_has_the_same_windows_for_any_ranks_and_accumulation() -> None:
    windows = small().loader("train").windows

    def steps(world_size: int, accumulation: int) -> list[set[int]]:
        ranks = [SyntheticLoader(windows, 20, 2, 4, rank, world_size) for rank in range(world_size)]
        assert {loader.num_steps(accumulation) for loader in ranks} == {3}
        by_rank = [[window_ids(step) for step in loader.steps(0, 0, accumulation)] for loader in ranks]
        return [set(itertools.chain(*step)) for step in zip(*by_rank, strict=True)]

    assert steps(1, 4) == steps(2, 2) == steps(4, 1) == [set(range(s, s + 8)) for s in (0, 8, 16)]


def test_ranks_share_the_windows_of_an_iteration_but_not_those_of_a_baseline() -> None:
    data = small()
    windows = data.loader("test").windows
    shares = [window_ids(SyntheticLoader(windows, 10, 2, 2, rank, 3)) for rank in range(3)]
    assert shares == [[0, 3, 6, 9], [1, 4, 7], [2, 5, 8]]
    assert [len(SyntheticLoader(windows, 10, 2, 2, rank, 3)) for rank in range(3)] == [2, 2, 2]
    assert window_ids(data.all_windows("train")) == list(range(data.num_windows("train")))


def test_class_counts_are_those_of_the_targets() -> None:
    data = small()
    targets = torch.cat([batch["future_cluster_ids"] for batch in data.all_windows("train")])
    assert data.class_counts().tolist() == [int((targets == c).sum()) for c in range(3)]


def test_every_parameter_of_the_windows_changes_the_digest() -> None:
    changes = {
        "history": 4,
        "g1": 1.5,
        "g2": 0.0,
        "g3": 0.0,
        "num_residues": 5,
        "num_clusters": 4,
        "process_seed": 1,
        "test_windows": 9,
    }
    digests = {small().digest, *(small(**{name: value}).digest for name, value in changes.items())}
    assert len(digests) == 1 + len(changes)
    assert small(batch_size=7).digest == small().digest


def test_baselines_fit_and_the_markov_table_cannot_see_memory_or_neighbour() -> None:
    data = Synthetic(2, 1, train_windows=2000)
    baseline = registry.get("baseline", "markov")()
    baseline.fit(data.all_windows("train"), (), 16)
    batch = next(iter(data.loader("test")))
    nll = baseline.predict(batch).nll_nats.mean() / np.log(2)
    assert 2.6 < nll < 2.8


@pytest.mark.parametrize(
    ("name", "value"), [("history", 1), ("horizon", 0), ("num_residues", 1), ("process_seed", -1), ("test_windows", 0)]
)
def test_sizes_that_make_no_sense_are_refused(name: str, value: int) -> None:
    with pytest.raises(ValueError, match=rf"Synthetic.{name} is {value}, expected"):
        small(**{name: value})


def test_a_stream_of_its_own_gives_windows_of_its_own() -> None:
    process = CoupledProcess(1.0, 1.0, 1.0, 4, 3, 0)
    first, second = (SyntheticWindows(process, 8, 2, [0, 0, seed]).draw(np.arange(3)) for seed in (0, 1))
    assert first.shape == (3, 10, 4)
    assert not np.array_equal(first, second)
