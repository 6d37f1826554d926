"""Mixings: who sees whom, what may not influence a context, what a state carries over."""

import pytest
import torch
from emprot_plugins.mixings.layers import AttentionLayer

from emprot_core import registry
from emprot_core.kernels import einsum, sdpa

Transformer = registry.get("model", "ProteinTransformerClassificationOnly")
MIXINGS = {name: registry.get("mixing", name) for name in ("Temporal", "Axial", "CrossTemporal", "Recurrent")}
ATTENTION_MIXINGS = ["Temporal", "Axial", "CrossTemporal"]
D = 16


def build_mixing(name: str, attention=einsum, num_layers: int = 2):
    torch.manual_seed(0)
    return MIXINGS[name]().build(D, 2, num_layers, 0.0, attention).double().eval()


def build_model(name: str, **options):
    torch.manual_seed(0)
    sizes = {"d_embed": D, "num_heads": 2, "num_layers": 2, "future_horizon": 3, "num_clusters": 11, "dropout": 0.0}
    return Transformer(**sizes, mixing=MIXINGS[name](), time_embedding_std=0.5, **options).double().eval()


def predict(model, ids, mask, state=None):
    with torch.no_grad():
        return model(ids, None, torch.full((len(ids),), ids.shape[2]), mask, state=state)


def tokens(num_frames: int = 5, num_residues: int = 6, seed: int = 1):
    """Tokens (3, T, N, D) and a mask with a tenth of them missing, the last frame of a residue among them."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(3, num_frames, num_residues, D, generator=generator, dtype=torch.float64)
    mask = torch.rand(3, num_frames, num_residues, generator=generator) > 0.1
    mask[0, -1, 2] = False
    return x, mask


class Recorder:
    """An attention kernel that keeps the shapes it is called with."""

    def __init__(self):
        self.queries, self.masks, self.biases = [], [], []

    def __call__(self, q, k, v, mask=None, bias=None):
        self.queries.append(tuple(q.shape))
        self.masks.append(tuple(mask.shape))
        self.biases.append(None if bias is None else tuple(bias.shape))
        return einsum(q, k, v, mask=mask, bias=bias)


@pytest.mark.parametrize("name", MIXINGS)
def test_a_context_has_one_row_a_residue(name: str) -> None:
    x, mask = tokens()
    assert tuple(build_mixing(name)(x, mask).shape) == (3, 6, D)
    assert tuple(build_mixing(name)(x, mask, torch.zeros(3, 6, D, dtype=torch.float64)).shape) == (3, 6, D)


@pytest.mark.parametrize("name", ATTENTION_MIXINGS)
@pytest.mark.parametrize("with_state", [False, True])
def test_every_kernel_gives_the_same_context(name: str, with_state: bool) -> None:
    x, mask = tokens()
    state = torch.randn(3, 6, D, dtype=torch.float64) if with_state else None
    torch.testing.assert_close(build_mixing(name, sdpa)(x, mask, state), build_mixing(name, einsum)(x, mask, state))


@pytest.mark.parametrize("name", MIXINGS)
def test_tokens_behind_the_mask_influence_no_context(name: str) -> None:
    """But for a token in the last frame, which is the query of its own residue."""
    mixing, (x, mask) = build_mixing(name), tokens()
    state = torch.randn(3, 6, D, dtype=torch.float64)
    garbage = torch.where(mask[..., None], x, 1e3 * torch.randn_like(x))
    for given in (None, state):
        expected, got = mixing(x, mask, given), mixing(garbage, mask, given)
        torch.testing.assert_close(got[mask[:, -1]], expected[mask[:, -1]])


@pytest.mark.parametrize("name", MIXINGS)
def test_garbage_in_padded_residues_and_masked_frames_changes_no_prediction(name: str, make_batch) -> None:
    model, batch = build_model(name, residue_embedding=7), make_batch(missing=True)
    ids, mask = batch["input_cluster_ids"], batch["history_mask"]
    mask[:, :2] = False
    mask[1:, :, 5:] = False
    expected = predict(model, torch.where(mask, ids, -1), mask)["cluster_logits"]
    assert torch.equal(predict(model, torch.where(mask, ids, 10), mask)["cluster_logits"], expected)
    alone = predict(model, ids[1:, :, :5], mask[1:, :, :5])["cluster_logits"]
    torch.testing.assert_close(expected[1:, :, :5], alone)


@pytest.mark.parametrize("name", MIXINGS)
def test_the_state_of_padded_residues_influences_no_other(name: str) -> None:
    mixing, (x, mask) = build_mixing(name), tokens()
    state = torch.randn(3, 6, D, dtype=torch.float64)
    mask[:, :, 4:] = False
    expected = mixing(x, mask, state)[:, :4]
    state[:, 4:] = 1e3 * torch.randn(3, 2, D, dtype=torch.float64)
    torch.testing.assert_close(mixing(x, mask, state)[:, :4], expected)
    torch.testing.assert_close(mixing(x[:, :, :4], mask[:, :, :4], state[:, :4]), expected)


@pytest.mark.parametrize("name", MIXINGS)
def test_permuting_residues_permutes_predictions_without_a_residue_embedding(name: str, make_batch) -> None:
    model, batch = build_model(name), make_batch(missing=True)
    order = torch.randperm(7, generator=torch.Generator().manual_seed(0))
    ids, mask = batch["input_cluster_ids"], batch["history_mask"]
    permuted = predict(model, ids[..., order], mask[..., order])["cluster_logits"]
    torch.testing.assert_close(permuted, predict(model, ids, mask)["cluster_logits"][:, :, order])


@pytest.mark.parametrize("name", MIXINGS)
def test_a_history_without_any_id_gives_finite_predictions_and_gradients(name: str, make_batch) -> None:
    model, batch = build_model(name), make_batch()
    mask = batch["history_mask"]
    mask[0], mask[1, :, 3] = False, False
    outputs = model(batch["input_cluster_ids"], None, batch["sequence_lengths"], mask)
    assert bool(outputs["cluster_logits"].isfinite().all())
    outputs["cluster_logits"].square().sum().backward()
    assert all(bool(p.grad.isfinite().all()) for p in model.parameters())


@pytest.mark.parametrize(("name", "sees"), [("Axial", True), ("CrossTemporal", True), ("Recurrent", False)])
@pytest.mark.parametrize("frame", [0, -1])
def test_who_sees_the_frames_of_another_residue(name: str, sees: bool, frame: int) -> None:
    mixing, (x, mask) = build_mixing(name), tokens()
    mask[:] = True
    other = x.clone()
    other[:, frame, 3] = torch.randn(3, D, dtype=torch.float64)
    changed = (mixing(other, mask) != mixing(x, mask)).any(-1).all(0)
    assert changed.tolist() == [sees or residue == 3 for residue in range(6)]


def test_axial_computes_of_the_last_layer_the_last_frame_alone_and_nothing_is_lost() -> None:
    recorder = Recorder()
    mixing, (x, mask) = build_mixing("Axial", recorder), tokens()
    context = mixing(x, mask)
    head = D // 2
    # Where a residue has one query, the heads are the queries, and see the tokens themselves.
    assert recorder.queries == [(18, 2, 5, head), (15, 2, 6, head), (18, 1, 2, D), (3, 2, 6, head)]
    for over_frames, over_residues in zip(mixing.over_frames, mixing.over_residues, strict=True):
        x = torch.stack([over_frames(x[:, :, n], x[:, :, n], mask[:, None, :, n]) for n in range(6)], dim=2)
        x = torch.stack([over_residues(x[:, t], x[:, t], mask[:, None, t]) for t in range(5)], dim=1)
    torch.testing.assert_close(context, mixing.norm(x[:, -1]))


@pytest.mark.parametrize("num_queries", [1, 5])
def test_a_layer_gives_the_same_by_each_way_it_computes(num_queries: int) -> None:
    """One query has a way of its own, and so have queries that are the keys themselves."""
    layer = AttentionLayer(D, 2, 0.0, einsum).double()
    torch.nn.init.normal_(layer.to_key_value.bias)
    (keys, mask), found = (x[:, :, 0] for x in tokens()), []
    mask[0] = False
    for queries in (keys if num_queries == 5 else keys[:, -1:], keys[:, -2:]):
        layer.zero_grad()
        out = layer(queries, keys, mask[:, None])[:, -1:]
        out.square().sum().backward()
        found.append([out, *(p.grad.clone() for p in layer.parameters())])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("name", ["Axial", "CrossTemporal"])
def test_masks_and_biases_reach_the_kernel_unexpanded(name: str) -> None:
    recorder = Recorder()
    build_mixing(name, recorder)(*tokens())
    assert {shape[1:3] for shape in recorder.masks} == {(1, 1)}
    assert {shape and shape[0] for shape in recorder.biases} == {1 if name == "CrossTemporal" else None}


def test_the_bias_of_cross_temporal_draws_a_query_to_its_own_residue() -> None:
    x, mask = tokens()
    mask[:] = True
    mixing = MIXINGS["CrossTemporal"](own_residue_bias=3.0).build(D, 2, 2, 0.0, einsum).double()
    assert mixing.own_residue_bias.tolist() == [[0.0, 3.0], [0.0, 3.0]]
    other = x.clone()
    other[:, :, 3] = torch.randn(3, 5, D, dtype=torch.float64)
    mixing.own_residue_bias.data[:] = 1e4
    changed = (mixing(other, mask) != mixing(x, mask)).any(-1).all(0)
    assert changed.tolist() == [residue == 3 for residue in range(6)]


def test_the_bias_of_cross_temporal_is_learnt_and_not_decayed() -> None:
    model = build_model("CrossTemporal")
    model.mixing(*tokens()).square().sum().backward()
    bias = model.mixing.own_residue_bias
    assert bool((bias.grad != 0).all())
    optimizer = registry.get("optimizer", "adamw")(list(model.named_parameters()), weight_decay=0.1)
    free = [group for group in optimizer.param_groups if group["weight_decay"] == 0]
    assert any(bias is parameter for group in free for parameter in group["params"])


@pytest.mark.parametrize("chunks", [[5, 5], [1, 9], [3, 4, 2, 1]])
def test_chunks_of_a_history_give_what_the_whole_gives_with_recurrent(chunks: list[int], make_batch) -> None:
    model = build_model("Recurrent", max_history=0)
    batch = make_batch(history=10, missing=True)
    ids, mask = batch["input_cluster_ids"], batch["history_mask"]
    mask[:, :5, 2] = False
    whole = predict(model, ids, mask)
    state = torch.zeros(4, 7, D, dtype=torch.float64)
    for ids_chunk, mask_chunk in zip(ids.split(chunks, dim=1), mask.split(chunks, dim=1), strict=True):
        outputs = predict(model, ids_chunk, mask_chunk, state)
        state = outputs["new_state"]
    torch.testing.assert_close(outputs["cluster_logits"], whole["cluster_logits"])
    assert not torch.allclose(predict(model, ids_chunk, mask_chunk)["cluster_logits"], whole["cluster_logits"])


@pytest.mark.parametrize("name", MIXINGS)
def test_a_state_is_read(name: str) -> None:
    mixing, (x, mask) = build_mixing(name), tokens()
    states = [torch.randn(3, 6, D, generator=torch.Generator().manual_seed(s), dtype=torch.float64) for s in (0, 1)]
    contexts = [mixing(x, mask, state) for state in states]
    assert bool((contexts[0] != contexts[1]).any(-1).all())


def test_a_model_without_frame_embeddings_reads_histories_of_any_length(make_batch) -> None:
    model = build_model("Temporal", max_history=0)
    assert "frame_embedding.weight" not in model.state_dict()
    batch = make_batch(history=200)
    outputs = predict(model, batch["input_cluster_ids"], batch["history_mask"])
    assert tuple(outputs["cluster_logits"].shape) == (4, 3, 7, 11)
