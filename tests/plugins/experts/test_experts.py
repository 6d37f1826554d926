"""The experts against slow twins in float64, one by one and mixed."""

import numpy as np
import pytest
import torch
from emprot_plugins.models.past import BatchPast
from expert_twins import EXPERTS, TWINS, data_of, mixture, model_of, run, windows_of
from small_stores import CLUSTERS

from emprot_core import registry


def opinion_of(name: str, data, batch, num_slots: int):
    model = model_of(data, (name,), num_slots=num_slots)
    past = BatchPast(batch["input_cluster_ids"], batch["history_mask"], batch["left_out"], model.tables, 3, num_slots)
    return registry.get("expert", name)()(past), past


def dense_parts(opinion, past) -> torch.Tensor:
    """(B, F, N, P, C): every part over all classes."""
    parts = []
    if opinion.on_slots is not None:
        on_slots = opinion.on_slots.expand(-1, 3, -1, -1, -1)
        slots = past.slots.clamp_min(0)[:, None, :, None].expand_as(on_slots)
        rest = (1 - on_slots.sum(-1, keepdim=True)) * past.unigram[:, None, None, None]
        parts += (rest + torch.zeros_like(rest).expand_as(rest).scatter_add(-1, slots, on_slots)).unbind(3)
    parts += [rows.values[rows.of] for rows in opinion.rows]
    return torch.stack(parts, dim=3)


@pytest.mark.parametrize("num_slots", [CLUSTERS, 2])
@pytest.mark.parametrize("name", EXPERTS)
def test_an_expert_is_its_formula(first_store: str, name: str, num_slots: int) -> None:
    data = data_of(first_store)
    for batch in list(data.all_windows("train"))[::5]:
        opinion, past = opinion_of(name, data, batch, num_slots)
        parts, statistics = dense_parts(opinion, past), opinion.statistics.expand(-1, 3, -1, -1)
        for row, window in enumerate(windows_of(batch, data.transitions(4), num_slots)):
            for residue in range(int(batch["sequence_lengths"][row])):
                for step in range(3):
                    wanted, numbers = TWINS[name](window, residue, step + 1)
                    np.testing.assert_allclose(parts[row, step, residue], wanted, atol=1e-12)
                    np.testing.assert_allclose(statistics[row, step, residue], numbers, atol=1e-12)


@pytest.mark.parametrize("name", EXPERTS)
def test_an_expert_has_as_many_parts_and_statistics_as_it_says(first_store: str, name: str) -> None:
    data = data_of(first_store)
    batch = next(iter(data.all_windows("train")))
    opinion, past = opinion_of(name, data, batch, CLUSTERS)
    expert = registry.get("expert", name)()
    assert dense_parts(opinion, past).shape[3] == len(expert.shares)
    assert opinion.statistics.shape[-1] == expert.num_statistics


@pytest.mark.parametrize("num_slots", [CLUSTERS, 3])
@pytest.mark.parametrize("names", [EXPERTS, ("Caches",), ("WindowTable", "OwnRows")])
def test_the_mixture_is_its_formula(first_store: str, names: tuple[str, ...], num_slots: int) -> None:
    data = data_of(first_store)
    model = model_of(data, names, num_slots=num_slots)
    batch = list(data.all_windows("train"))[7]
    logits = run(model, batch)["cluster_logits"]
    for row, window in enumerate(windows_of(batch, data.transitions(4), num_slots)):
        np.testing.assert_allclose(logits[row], mixture(model, window, names), atol=1e-9)


def test_a_residue_that_was_never_seen_gets_the_class_frequencies(first_store: str) -> None:
    data = data_of(first_store)
    batch = next(iter(data.all_windows("train")))
    batch["history_mask"][:, :, 1] = False
    model = model_of(data)
    logits = run(model, batch)["cluster_logits"]
    unigram = model.tables.unigram(batch["left_out"])
    torch.testing.assert_close(logits[:, :, 1].exp(), unigram[:, None].expand(-1, 3, -1), rtol=1e-5, atol=0)
