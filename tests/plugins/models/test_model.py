"""The model: shapes of the seed's contract, and what may not influence a prediction."""

import numpy as np
import pytest
import torch

from emprot_core import registry
from emprot_core.contracts import FactoredModel, Model
from emprot_core.kernels import einsum, sdpa

Transformer = registry.get("model", "ProteinTransformerClassificationOnly")
SIZES = {"d_embed": 16, "num_heads": 2, "num_layers": 2, "future_horizon": 3, "num_clusters": 11}


def build(**options):
    torch.manual_seed(0)
    return Transformer(**{**SIZES, **options}).double().eval()


def run(model, batch, **changes):
    inputs = {**batch, **changes}
    with torch.no_grad():
        return model(
            inputs["input_cluster_ids"], inputs.get("times"), inputs["sequence_lengths"], inputs["history_mask"],
            state=inputs.get("state"),
        )  # fmt: skip


def test_outputs_have_the_shapes_of_the_contract(make_batch) -> None:
    model, batch = build(), make_batch()
    outputs = run(model, batch)
    assert {name: tuple(value.shape) for name, value in outputs.items()} == {
        "cluster_logits": (4, 3, 7, 11),
        "context": (4, 7, 16),
    }
    assert isinstance(model, Model)
    assert isinstance(model, FactoredModel)


def test_a_state_is_read_and_a_new_one_given(make_batch) -> None:
    model, batch = build(), make_batch()
    plain = run(model, batch)
    outputs = run(model, batch, state=torch.randn(4, 7, 16, dtype=torch.float64))
    assert tuple(outputs["new_state"].shape) == (4, 7, 16)
    assert not torch.allclose(outputs["cluster_logits"], plain["cluster_logits"])


def test_features_times_classifier_are_the_logits(make_batch) -> None:
    model, batch = build(output_bias_init="unigram"), make_batch()
    model.use_class_counts(torch.arange(11))
    with torch.no_grad():
        outputs = model.features(batch["input_cluster_ids"], None, batch["sequence_lengths"], batch["history_mask"])
        weight, bias = model.classifier()
    logits = outputs["features"] @ weight.T + bias[:, None]
    torch.testing.assert_close(logits, run(model, batch)["cluster_logits"])


def test_garbage_where_the_history_is_masked_changes_nothing(make_batch) -> None:
    model, batch = build(), make_batch()
    batch["history_mask"][:, :2] = False
    batch["history_mask"][:, :, 5:] = False
    garbage = torch.where(batch["history_mask"], batch["input_cluster_ids"], 10)
    missing = torch.where(batch["history_mask"], batch["input_cluster_ids"], -1)
    expected = run(model, batch)["cluster_logits"]
    for ids in (garbage, missing):
        assert torch.equal(run(model, batch, input_cluster_ids=ids)["cluster_logits"], expected)


def test_a_missing_id_is_the_same_with_and_without_its_mask(make_batch) -> None:
    model, batch = build(), make_batch()
    batch["input_cluster_ids"][:, 1, 2] = -1
    expected = run(model, batch)["cluster_logits"]
    batch["history_mask"][:, 1, 2] = False
    assert torch.equal(run(model, batch)["cluster_logits"], expected)


def test_permuting_residues_permutes_predictions_without_a_residue_embedding(make_batch) -> None:
    model, batch = build(), make_batch()
    order = torch.randperm(7)
    permuted = run(
        model, batch,
        input_cluster_ids=batch["input_cluster_ids"][..., order], history_mask=batch["history_mask"][..., order],
    )["cluster_logits"]  # fmt: skip
    torch.testing.assert_close(permuted, run(model, batch)["cluster_logits"][:, :, order])


def test_padding_residues_does_not_change_the_others(make_batch) -> None:
    model, batch = build(residue_embedding=9), make_batch()
    expected = run(model, batch)["cluster_logits"]
    pad = lambda x, value: torch.nn.functional.pad(x, (0, 2), value=value)  # noqa: E731
    padded = run(
        model, batch,
        input_cluster_ids=pad(batch["input_cluster_ids"], -1), history_mask=pad(batch["history_mask"], False),
    )["cluster_logits"]  # fmt: skip
    torch.testing.assert_close(padded[:, :, :7], expected)
    assert bool(padded.isfinite().all())


def test_temporal_mixing_lets_no_residue_see_another(make_batch) -> None:
    model, batch = build(), make_batch()
    other = batch["input_cluster_ids"].clone()
    other[:, :, 3] = (other[:, :, 3] + 1) % 11
    changed = (run(model, batch)["context"] != run(model, batch, input_cluster_ids=other)["context"]).any(-1)
    assert changed.any(0).tolist() == [n == 3 for n in range(7)]


def test_the_last_frame_matters_by_its_place(make_batch) -> None:
    model, batch = build(time_embedding_std=0.5), make_batch()
    reversed_frames = run(model, batch, input_cluster_ids=batch["input_cluster_ids"].flip(1))
    assert not torch.allclose(reversed_frames["context"], run(model, batch)["context"])


def test_both_attention_kernels_give_the_same_predictions(make_batch) -> None:
    batch = make_batch(missing=True)
    outputs = [run(build(attention=kernel), batch)["cluster_logits"] for kernel in (einsum, sdpa)]
    torch.testing.assert_close(*outputs)


def test_residue_dropout_leaves_out_whole_embeddings_in_training_only(make_batch) -> None:
    model, batch = build(residue_embedding=7, residue_embedding_std=1.0, residue_dropout=0.5, dropout=0.0), make_batch()
    embedded = model._embed_residues(4, 7, torch.device("cpu"))
    assert not bool((embedded == 0).all(-1).any())
    model.train()
    dropped = (model._embed_residues(400, 7, torch.device("cpu")) == 0).all(-1).double()
    assert 0.4 < float(dropped.mean()) < 0.6
    assert bool(run(model, batch)["cluster_logits"].isfinite().all())


def test_the_output_bias_starts_at_the_log_frequencies() -> None:
    model = build(output_bias_init="unigram")
    counts = torch.tensor([90, 9] + [0] * 9)
    model.use_class_counts(counts)
    expected = ((counts + 0.5) / (counts + 0.5).sum()).log()
    torch.testing.assert_close(model.output_bias.data[2], expected.double())
    untouched = build()
    untouched.use_class_counts(counts)
    assert bool((untouched.output_bias == 0).all())


@pytest.mark.parametrize("width", [16, 5])
def test_cluster_lookup_starts_the_table_from_the_centroids(width: int, make_batch, tmp_path) -> None:
    centroids = np.random.default_rng(0).normal(3.0, 2.0, (11, width)).astype(np.float32)
    np.save(tmp_path / "centroids.npy", centroids)
    for lookup in (centroids, torch.from_numpy(centroids), str(tmp_path / "centroids.npy")):
        model = build(cluster_lookup=lookup)
        rows = model.cluster_embedding.rows.weight[:11].detach().numpy()
        assert np.corrcoef(rows.ravel(), (centroids - centroids.mean(0)).ravel())[0, 1] > 0.999
        assert model.cluster_embedding.rows.num_embeddings == 12
        assert tuple(run(model, make_batch())["cluster_logits"].shape) == (4, 3, 7, 11)
        assert (model.cluster_embedding.projection is None) == (width == 16)


def test_a_lookup_with_the_wrong_number_of_clusters_is_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \(10, 16\), expected \(11, E\)"):
        build(cluster_lookup=np.zeros((10, 16)))


def test_untied_embeddings_read_the_logits_off_their_own_table(make_batch) -> None:
    model, batch = build(tie_embeddings=False), make_batch()
    assert model.classifier()[0] is model.output_table
    assert tuple(run(model, batch)["cluster_logits"].shape) == (4, 3, 7, 11)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_heads": 3}, "d_embed = 16 is not a multiple of num_heads = 3"),
        ({"output_bias_init": "log"}, "output_bias_init is 'log'"),
    ],
)
def test_impossible_sizes_are_refused(options, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(**options)


@pytest.mark.parametrize(("options", "message"), [({"residue_embedding": 5}, "7 residues")])
def test_batches_beyond_the_embeddings_are_refused(options, message: str, make_batch) -> None:
    with pytest.raises(ValueError, match=message):
        run(build(**options), make_batch())


def test_the_model_reads_the_last_frames_of_a_longer_history(make_batch) -> None:
    model, batch = build(max_history=4).eval(), make_batch(history=9, missing=True)
    short = {key: batch[key][:, -4:] for key in ("input_cluster_ids", "times", "history_mask")}
    assert torch.equal(run(model, batch)["cluster_logits"], run(model, batch, **short)["cluster_logits"])
