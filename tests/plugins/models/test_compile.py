"""torch.compile traces every registered model without a break, as a config builds it."""

import inspect
from collections.abc import Iterator

import pytest
import torch

from emprot_core import registry
from emprot_core.config import load
from emprot_core.contracts import Transitions, UsesTransitions

SIZES = {"d_embed": 16, "num_heads": 2, "num_layers": 1, "num_clusters": 11, "future_horizon": 3, "max_history": 5}
EXPERTS = "[@experts.Caches(), @experts.OwnRows(), @experts.PooledTables(), @experts.WindowTable()]"
NEEDED = {**SIZES, "experts": EXPERTS}
"""Small values of whatever a model needs: a model with another required parameter adds it here."""


def variants() -> Iterator[tuple[str, ...]]:
    """Overrides that choose each model, with each mixing if it takes one."""
    for model in registry.entries("model"):
        known = inspect.signature(model.target).parameters
        chosen = [f"Trainer.model=@models.{model.name}()"]
        chosen += [f"models.{model.name}.{name}={size}" for name, size in NEEDED.items() if name in known]
        if "mixing" not in known:
            yield tuple(chosen)
            continue
        for mixing in registry.entries("mixing"):
            yield (*chosen, f"models.{model.name}.mixing=@mixings.{mixing.name}()")


@pytest.mark.parametrize("overrides", list(variants()), ids=lambda overrides: overrides[-1])
@pytest.mark.parametrize("training", [False, True], ids=["evaluation", "training"])
def test_trap_6_a_model_is_traced_as_one_graph(make_batch, overrides: tuple[str, ...], training: bool):
    model = load(["base.gin"], overrides=overrides, allow_unused=True).build("Trainer.model").train(training)
    torch._dynamo.reset()
    batch = make_batch()
    if isinstance(model, UsesTransitions):
        ranges = ((0, 2), (1, 5), (0, 11), (0, 11), (1, 4))  # parts, lags, earlier and later IDs, counts
        drawn = torch.stack([torch.randint(low, high, (50,)) for low, high in ranges])
        model.use_transitions(Transitions(*torch.unique(drawn, dim=1)), [batch])
    inputs = [batch[name] for name in ("input_cluster_ids", "times", "sequence_lengths", "history_mask")]
    state = torch.randn(4, 7, 16) if training else None
    torch.manual_seed(0)
    # Rows of tables are looked up once for each different ID, and how many there are depends on the batch.
    with torch._dynamo.config.patch(capture_dynamic_output_shape_ops=True):
        compiled = torch.compile(model, fullgraph=True, backend="eager")(*inputs, state=state)
    torch.manual_seed(0)
    plain = model(*inputs, state=state)
    assert compiled.keys() == plain.keys()
    torch.testing.assert_close(compiled["cluster_logits"], plain["cluster_logits"])
