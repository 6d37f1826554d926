"""The tables of transitions: a part left out is a part that was never counted."""

import pytest
import torch
from emprot_plugins.models.transition_tables import TransitionTables

from emprot_core.contracts import Transitions

CLASSES, LAGS = 5, 3


@pytest.fixture
def transitions() -> Transitions:
    """40 different transitions of three parts with large numbers, as hashes are."""
    generator = torch.Generator().manual_seed(0)
    parts = torch.tensor([7, 2**62, 2**62 + 1])
    highs = (3, LAGS, CLASSES, CLASSES)
    drawn = torch.stack([torch.randint(0, high, (40,), generator=generator) for high in highs])
    part, lag, before, after = torch.unique(drawn, dim=1)
    counts = torch.randint(1, 9, part.shape, generator=generator)
    return Transitions(parts[part], lag + 1, before, after, counts)


def filled(transitions: Transitions) -> TransitionTables:
    tables = TransitionTables(CLASSES, LAGS)
    tables.fill(transitions)
    return tables


def test_counts_are_those_that_were_given(transitions: Transitions) -> None:
    tables = filled(transitions)
    none = torch.full((CLASSES,), -1)
    for lag in range(1, LAGS + 1):
        counts = tables.counts(lag, torch.arange(CLASSES), none)
        wanted = torch.zeros(CLASSES, CLASSES)
        for _, each_lag, before, after, count in zip(*(column.tolist() for column in transitions), strict=True):
            wanted[before, after] += count * (each_lag == lag)
        assert torch.equal(counts, wanted)


def test_leaving_a_part_out_equals_counting_without_it(transitions: Transitions) -> None:
    tables, ids = filled(transitions), torch.arange(-1, CLASSES)
    for part in transitions.part.unique().tolist():
        without = filled(Transitions(*(column[transitions.part != part] for column in transitions)))
        left_out, none = torch.full_like(ids, part), torch.full_like(ids, -1)
        for lag in range(1, LAGS + 1):
            assert torch.equal(tables.counts(lag, ids, left_out), without.counts(lag, ids, none))
        torch.testing.assert_close(tables.unigram(left_out), without.unigram(none))


@pytest.mark.parametrize("unknown", [-1, 8, 2**62 + 2])
def test_an_unknown_part_leaves_nothing_out(transitions: Transitions, unknown: int) -> None:
    tables, ids = filled(transitions), torch.arange(CLASSES)
    all_counts = tables.counts(1, ids, torch.full_like(ids, -1))
    assert torch.equal(tables.counts(1, ids, torch.full_like(ids, unknown)), all_counts)


def test_tables_of_nothing_give_the_prior_alone() -> None:
    tables = filled(Transitions(*torch.zeros(5, 0, dtype=torch.long)))
    ids = torch.arange(-1, 3)
    assert not tables.counts(2, ids, ids).any()
    assert torch.equal(tables.unigram(ids), torch.full((4, CLASSES), 1 / CLASSES))


def test_a_state_brings_the_sizes_of_the_tables_along(transitions: Transitions) -> None:
    tables = filled(transitions)
    for other in (TransitionTables(CLASSES, LAGS), filled(Transitions(*(column[:9] for column in transitions)))):
        other.load_state_dict(tables.state_dict())
        for one, copy in zip(tables.buffers(), other.buffers(), strict=True):
            assert torch.equal(one, copy)
            assert one.data_ptr() != copy.data_ptr()
