"""The mixture of experts: normalised, fair to every residue, and of a size that does not grow with C x C."""

import time
from functools import partial

import pytest
import torch
from expert_twins import EXPERTS, data_of, model_of, run
from small_stores import CLUSTERS
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from emprot_core import registry
from emprot_core.contracts import FactoredModel, Model, Opinion, Rows, Transitions, UsesTransitions
from emprot_core.errors import EmprotError
from emprot_core.training import Trainer
from emprot_core.training.forward_loss import ForwardLoss

GatedExperts = registry.get("model", "GatedExperts")


def make_dense(num_clusters: int = CLUSTERS, future_horizon: int = 3):
    torch.manual_seed(1)
    return registry.get("model", "ProteinTransformerClassificationOnly")(
        d_embed=8, num_heads=2, num_layers=1, future_horizon=future_horizon, num_clusters=num_clusters, max_history=5
    )


def make_experts():
    return [registry.get("expert", name)() for name in EXPERTS]


@pytest.fixture
def data(first_store: str):
    return data_of(first_store)


@pytest.fixture(params=["alone", "with a dense part"])
def model(request, data):
    return model_of(data, dense=make_dense() if request.param != "alone" else None)


@pytest.fixture
def batch(data):
    return list(data.all_windows("train"))[6]


def test_outputs_have_the_shapes_of_the_contract(model, batch) -> None:
    outputs, width = run(model, batch), 32 if model.dense is None else 8
    assert {name: tuple(value.shape) for name, value in outputs.items()} == {
        "cluster_logits": (3, 3, 4, CLUSTERS),
        "context": (3, 4, width),
    }
    assert isinstance(model, Model)
    assert isinstance(model, UsesTransitions)
    assert not isinstance(model, FactoredModel)


def test_a_state_is_handed_to_the_dense_part_and_a_new_one_given(model, batch) -> None:
    plain = run(model, batch)
    outputs = run(model, batch, state=torch.randn_like(plain["context"]))
    assert torch.equal(outputs["new_state"], outputs["context"])
    assert torch.equal(outputs["cluster_logits"], plain["cluster_logits"]) == (model.dense is None)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_logits_are_normalised_log_probabilities(model, batch, dtype) -> None:
    """With bfloat16 in autocast, where sums and logs stay float32."""
    in_autocast = dtype == torch.bfloat16
    model.to(torch.float32 if in_autocast else dtype)
    with torch.autocast("cpu", torch.bfloat16, enabled=in_autocast):
        logits = run(model, batch)["cluster_logits"]
    assert logits.dtype == (torch.float32 if in_autocast else dtype)
    assert logits.logsumexp(-1).abs().max() <= 1e-4
    assert logits.isfinite().all()


def test_residues_in_another_order_get_the_same_forecasts(model, batch) -> None:
    order = torch.tensor([2, 0, 3, 1])
    mixed = {key: batch[key][..., order] for key in ("input_cluster_ids", "history_mask")}
    logits, permuted = run(model, batch)["cluster_logits"], run(model, batch, **mixed)["cluster_logits"]
    torch.testing.assert_close(permuted, logits[:, :, order], rtol=0, atol=1e-12)


def test_garbage_under_the_mask_and_frames_before_the_trajectory_change_nothing(model, batch) -> None:
    batch["history_mask"][:, :9] = False
    batch["history_mask"][1, -3:, 2] = False
    wanted = run(model, batch)["cluster_logits"]
    ids = batch["input_cluster_ids"].masked_fill(~batch["history_mask"], 3)
    torch.testing.assert_close(run(model, batch, input_cluster_ids=ids)["cluster_logits"], wanted, rtol=0, atol=1e-12)
    longer = {
        "input_cluster_ids": torch.cat([torch.full((3, 4, 4), -1), ids], dim=1),
        "history_mask": torch.cat([torch.zeros(3, 4, 4, dtype=torch.bool), batch["history_mask"]], dim=1),
    }
    torch.testing.assert_close(run(model, batch, **longer)["cluster_logits"], wanted, rtol=0, atol=1e-12)


def test_a_padded_residue_changes_no_other(model, batch) -> None:
    wanted = run(model, batch)["cluster_logits"]
    padding = torch.full_like(batch["input_cluster_ids"][..., :2], -1)
    padded = {
        "input_cluster_ids": torch.cat([batch["input_cluster_ids"], padding], dim=-1),
        "history_mask": torch.cat([batch["history_mask"], padding >= 0], dim=-1),
    }
    logits = run(model, batch, **padded)["cluster_logits"]
    torch.testing.assert_close(logits[:, :, :4], wanted, rtol=0, atol=1e-12)


def test_leaving_a_group_out_equals_counting_without_it(model, data, batch) -> None:
    left_out = run(model, batch)["cluster_logits"]
    with_all = run(model, batch, left_out=None)["cluster_logits"]
    assert not torch.allclose(left_out, with_all)
    transitions = data.transitions(4)
    others = transitions.part != batch["left_out"][0]
    assert (batch["left_out"] == batch["left_out"][0]).all()
    model.tables.fill(Transitions(*(column[others] for column in transitions)))
    torch.testing.assert_close(run(model, batch, left_out=None)["cluster_logits"], left_out, rtol=0, atol=1e-12)


def test_the_loss_hands_the_model_what_is_left_out(model, batch) -> None:
    loss = registry.get("loss", "MaskedCrossEntropy")()
    forward_loss = ForwardLoss(model, loss, ()).eval()
    sums = [forward_loss({**batch, "left_out": part})[0].item() for part in (batch["left_out"], None)]
    wanted = [loss(run(model, batch, left_out=part), batch).sum for part in (batch["left_out"], None)]
    assert sums == pytest.approx([float(each) for each in wanted])
    assert sums[0] != pytest.approx(sums[1])


def test_the_dense_part_is_taken_away_at_random_and_tokens_are_hidden_in_training_only(data, batch) -> None:
    model = model_of(data, dense=make_dense(), dense_dropout=0.5, token_dropout=0.5)
    model.dense.eval()
    assert torch.equal(run(model, batch)["cluster_logits"], run(model, batch)["cluster_logits"])
    model.training = True
    assert not torch.equal(run(model, batch)["cluster_logits"], run(model, batch)["cluster_logits"])
    model.token_dropout = 0.0
    scores = torch.zeros(400, 3, 5, 2)
    dropped = model._without_dense_at_random(scores)[..., 0].isinf()
    assert torch.equal(dropped, dropped[:, :1].expand(-1, 3, -1))  # one draw for all steps
    assert dropped.float().mean() == pytest.approx(0.5, abs=0.05)


def test_the_last_frame_is_never_hidden_from_the_dense_part(data, batch) -> None:
    seen = []
    model = model_of(data, dense=make_dense(), token_dropout=0.9)
    model.dense.register_forward_hook(lambda module, given, outputs: seen.append(given[3]))
    model.train()
    run(model, batch)
    assert torch.equal(seen[0][:, -1], batch["history_mask"][:, -1])
    assert seen[0].sum() < 0.5 * batch["history_mask"].sum()


@pytest.mark.parametrize("name", ["adamw", "adam", "nadam", "radam", "sgd", "muon"])
def test_the_gates_have_a_rate_and_weight_decay_of_their_own(data, name: str) -> None:
    model = model_of(data, dense=make_dense()).float()
    trainer = Trainer(
        model,
        registry.get("loss", "MaskedCrossEntropy")(),
        partial(registry.get("optimizer", name), learning_rate=1e-3, weight_decay=0.5),
        max_epochs=1,
    )
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    given = {}
    real = trainer.factories[0]

    def spying(named):
        optimizer = real(named)
        for group in optimizer.param_groups:
            given.update({names[id(p)]: (group["lr"], group["weight_decay"]) for p in group["params"]})
        return optimizer

    trainer.factories = (spying, None)
    trainer.fit([next(iter(data.all_windows("train")))])
    assert given.keys() == set(names.values())
    for parameter, (rate, decay) in given.items():
        is_gate = parameter.startswith("gates.")
        assert rate == pytest.approx(3e-3 if is_gate else 1e-3), parameter
        without_decay = parameter.endswith("bias") and "output_bias" not in parameter
        assert decay in ((0.0,) if without_decay else (0.0, 0.01) if is_gate else (0.0, 0.5)), parameter
    assert given["gates.weight"][1] == given["gates.hidden.weight"][1] == 0.01
    assert given["gates.bias"][1] == 0


def test_a_group_of_parameters_that_no_name_matches_is_refused(data, monkeypatch) -> None:
    model = model_of(data)
    wrong = model.parameter_groups()[0]._replace(pattern="gate.*")
    monkeypatch.setattr(model, "parameter_groups", lambda: [wrong], raising=False)
    trainer = Trainer(model, registry.get("loss", "MaskedCrossEntropy")(), registry.get("optimizer", "adamw"))
    with pytest.raises(EmprotError, match=r"names 'gate\.\*', which no parameter matches"):
        trainer.fit([next(iter(data.all_windows("train")))])


def test_the_state_brings_tables_and_scales_to_a_fresh_model(model, batch) -> None:
    again = GatedExperts(CLUSTERS, 3, make_experts(), dense=None if model.dense is None else make_dense()).double()
    again.load_state_dict(model.state_dict())
    assert torch.equal(run(again.eval(), batch)["cluster_logits"], run(model, batch)["cluster_logits"])


def test_scales_are_those_of_the_training_windows_and_are_set_once(data) -> None:
    model = model_of(data)
    batches = list(data.all_windows("train"))
    values = torch.cat([model._known_statistics(batch) for batch in batches])
    torch.testing.assert_close(model.gates.mean, values.mean(0))
    torch.testing.assert_close(model.gates.deviation, values.std(0, correction=0))
    before = model.gates.mean.clone()
    model.use_transitions(data.transitions(4), batches[:1])
    assert torch.equal(model.gates.mean, before)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"experts": []}, "experts is empty"),
        ({"num_slots": 0}, "num_slots is 0, expected 1 or more"),
        ({"hidden": 0}, "hidden is 0, expected 1 or more"),
        ({"dense_dropout": 1.0}, "dense_dropout is 1.0, expected a probability below 1"),
        ({"token_dropout": -0.1}, "token_dropout is -0.1, expected a probability below 1"),
        ({"dense": make_dense(7)}, r"dense has num_clusters and future_horizon \(7, 3\), expected \(6, 3\)"),
        ({"dense": make_dense(future_horizon=2)}, r"dense has num_clusters and future_horizon \(6, 2\)"),
    ],
)
def test_a_wrong_option_is_refused(options, message: str) -> None:
    with pytest.raises(EmprotError, match=message):
        GatedExperts(**{"num_clusters": CLUSTERS, "future_horizon": 3, "experts": make_experts(), **options})


def test_an_expert_with_other_parts_than_it_says_is_refused_by_name(data, monkeypatch) -> None:
    model = model_of(data)
    monkeypatch.setattr(type(model.experts[0]), "num_statistics", 12)
    with pytest.raises(EmprotError, match="expected 6 parts and 12 statistics, got 6 parts and 13 statistics"):
        run(model, next(iter(data.all_windows("train"))))


class Learned(torch.nn.Module):
    """An expert with a parameter: one fixed distribution."""

    shares, num_statistics = (0.1,), 0

    def __init__(self) -> None:
        super().__init__()
        self.logits = torch.nn.Parameter(torch.zeros(1, CLUSTERS))

    def forward(self, past) -> Opinion:
        of = torch.zeros(len(past.ids), past.horizon, past.ids.shape[1], dtype=torch.long)
        nothing = past.ages.new_zeros(*of.shape, 0)
        return Opinion(nothing, rows=[Rows(self.logits.to(past.ages.dtype).softmax(-1), of)])


def test_an_expert_that_is_a_module_is_trained(data, batch) -> None:
    model = GatedExperts(CLUSTERS, 3, [*make_experts(), Learned()])
    model.tables.fill(data.transitions(4))
    assert "learned.0.logits" in model.state_dict()
    inputs = batch["input_cluster_ids"], None, batch["sequence_lengths"], batch["history_mask"]
    model(*inputs)["cluster_logits"][..., 0].sum().backward()
    assert model.learned[0].logits.grad.abs().sum() > 0


def test_a_model_without_tables_is_refused(batch) -> None:
    with pytest.raises(EmprotError, match=r"no transitions to make its tables of; train it by jobs\.Train"):
        run(GatedExperts(CLUSTERS, 3, make_experts()), batch)


def test_a_loss_that_needs_features_is_refused_by_name(model) -> None:
    with pytest.raises(EmprotError, match=r"GatedExperts .*expected features\(\) and classifier\(\).*Masked"):
        ForwardLoss(model, registry.get("loss", "LinearCrossEntropy")(), ())


class LargestTensor(TorchDispatchMode):
    """Notes the number of elements of the largest tensor that any operation gives."""

    size = 0

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        result = function(*arguments, **(options or {}))
        self.size = max([self.size, *(leaf.numel() for leaf in tree_leaves(result) if isinstance(leaf, torch.Tensor))])
        return result


def test_fifty_thousand_classes_need_no_table_of_their_square() -> None:
    """Forward and backward hold nothing larger than a few times the logits, and take about as long as these."""
    classes, steps = 50_000, 2
    generator = torch.Generator().manual_seed(0)
    # Each residue visits twenty classes of its own.
    own = torch.randint(0, classes, (1, 12, 20), generator=generator)
    ids = own.gather(2, torch.randint(0, 20, (1, 12, 60), generator=generator)).transpose(1, 2)
    before, after = ids[:, :-1].flatten(), ids[:, 1:].flatten()
    pairs, counts = torch.unique(torch.stack([before, after]), dim=1, return_counts=True)
    columns = [
        torch.stack([torch.zeros_like(counts), torch.full_like(counts, lag), *pairs, counts]) for lag in (1, 2, 3)
    ]
    started = time.process_time()
    model = GatedExperts(classes, steps, make_experts())
    with LargestTensor() as largest:
        model.tables.fill(Transitions(*torch.cat(columns, dim=1)))
        logits = model(ids, None, torch.tensor([12]), ids >= 0)["cluster_logits"]
        logits[..., 0].sum().backward()
    assert largest.size <= 8 * logits.numel() < classes**2 / 200
    assert sum(value.numel() for value in model.state_dict().values()) < 20_000
    assert time.process_time() - started < 5
    assert logits.logsumexp(-1).abs().max() <= 1e-4
