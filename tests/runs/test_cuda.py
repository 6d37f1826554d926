"""Runs and kernels on a CUDA device."""

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from run_commands import DEBUG, result, weights

from benchmarks.replayed import graph_of, trainer_over_replay
from benchmarks.step import SMALL, Step, random_batch
from emprot_core import registry
from emprot_core.cli import main
from emprot_core.training.trainer import Trainer

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]
ON_CUDA = ["run.device=cuda", "run.deterministic=True"]


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_a_run_that_stopped_half_way_ends_with_the_same_bits(precision: str, tmp_path: Path, monkeypatch) -> None:
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    own = [*ON_CUDA, f"MixedPrecision.dtype={precision}"]
    assert main([DEBUG, *own, f"run.directory={whole}"]) == 0
    steps = iter(range(7))
    take_step = Trainer.write_saves  # called once in every step

    def terminate_after_seven(trainer: Trainer) -> None:
        take_step(trainer)
        if next(steps, None) == 6:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Trainer, "write_saves", terminate_after_seven)
    assert main([DEBUG, *own, f"run.directory={resumed}"]) == 143
    assert result(str(resumed))["global_step"] < 12
    assert main([DEBUG, *own, f"run.directory={resumed}"]) == 0
    assert torch.equal(weights(str(whole)), weights(str(resumed)))
    assert (whole / "metrics.jsonl").read_bytes() == (resumed / "metrics.jsonl").read_bytes()


OF_TORCH = "ignore::DeprecationWarning", "ignore:TensorFloat32:UserWarning"
"""Warnings of torch's compiler about torch's own code, and its advice to use TF32."""


@pytest.mark.filterwarnings(*OF_TORCH)
def test_a_compiled_run_learns_what_an_eager_one_learns(tmp_path: Path) -> None:
    for name, more in {"eager": [], "compiled": ["Trainer.extra_hooks=[@hooks.Compile()]"]}.items():
        own = [*ON_CUDA, "MixedPrecision.dtype=float32", f"run.directory={tmp_path / name}"]
        assert main([DEBUG, *own, *more]) == 0
    eager, compiled = (result(str(tmp_path / name))["best"]["val/total_loss"] for name in ("eager", "compiled"))
    assert compiled == pytest.approx(eager, rel=1e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", ["auto", "short"])
@pytest.mark.parametrize("shape", [(300, 10, 10, 64), (7, 33, 64, 24), (20, 300, 300, 32), (4, 64, 3000, 32)])
def test_a_kernel_agrees_with_the_reference(shape: tuple[int, ...], name: str, dtype: torch.dtype) -> None:
    sequences, queries, keys, d = shape
    torch.manual_seed(0)
    given = [torch.randn(sequences, tokens, 4, d, device="cuda", dtype=dtype) for tokens in (queries, keys, keys)]
    mask = torch.rand(sequences, 1, queries, keys, device="cuda") < 0.8
    mask[0, 0, 0] = False  # a query without any key
    found = []
    for kernel, precise in ((name, dtype), ("einsum", torch.float64)):
        own = [tensor.detach().to(precise, copy=True).requires_grad_() for tensor in given]
        attended = registry.get("attention", kernel)(*(tensor.transpose(1, 2) for tensor in own), mask)
        attended.square().sum().backward()
        found.append([attended.double(), *(tensor.grad.double() for tensor in own)])
    tolerance = 2e-4 if dtype == torch.float32 else 5e-2
    for ours, exact in zip(*found, strict=True):
        assert float((ours - exact).detach().norm() / exact.detach().norm()) < tolerance


@pytest.mark.filterwarnings(*OF_TORCH)
def test_the_compiler_takes_the_kernel_of_short_sequences_into_its_graph() -> None:
    torch.manual_seed(0)
    q, k, v = (torch.randn(30, 10, 2, 16, device="cuda").transpose(1, 2).requires_grad_() for _ in range(3))
    mask = torch.rand(30, 1, 1, 10, device="cuda") < 0.8
    kernel = registry.get("attention", "short")
    torch.library.opcheck(torch.ops.emprot.short_attention.default, (q, k, v, mask))
    found = []
    for form in (kernel, torch.compile(kernel, fullgraph=True)):
        attended = form(q, k, v, mask=mask)
        found.append([attended, *torch.autograd.grad(attended.square().sum(), (q, k, v))])
    for compiled, eager in zip(*found, strict=True):
        torch.testing.assert_close(compiled, eager)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("bias_rows", [0, 1, 3])
@pytest.mark.parametrize("num_classes", [256, 50_000])
def test_the_linear_loss_agrees_with_the_one_of_logits(num_classes: int, bias_rows: int, smoothing: float) -> None:
    torch.manual_seed(0)
    is_known = torch.rand(2, 3, 50, device="cuda") < 0.5
    batch = {
        "future_cluster_ids": torch.randint(num_classes, (2, 3, 50), device="cuda").where(is_known, -1),
        "future_step_mask": torch.ones(2, 3, dtype=torch.bool, device="cuda"),
        "residue_mask": torch.ones(2, 50, dtype=torch.bool, device="cuda"),
    }
    shapes = [(2, 3, 50, 64), (num_classes, 64), *[(bias_rows, num_classes)] * bool(bias_rows)]
    given = [torch.randn(shape, device="cuda") for shape in shapes]
    found = []
    for name in ("LinearCrossEntropy", "MaskedCrossEntropy"):
        own = [tensor.clone().requires_grad_() for tensor in given]
        bias = own[2] if bias_rows else None
        logits = own[0] @ own[1].mT + (0 if bias is None else bias[:, None])
        outputs = {"features": own[0], "weight": own[1], "bias": bias, "cluster_logits": logits}
        terms = registry.get("loss", name)(label_smoothing=smoothing)(outputs, batch)
        (terms.sum / terms.weight).backward()
        found.append(
            [
                terms.sum.detach(),
                terms.scores.nll,
                terms.scores.predicted[terms.scores.mask],
                *(tensor.grad for tensor in own),
            ]
        )
    for ours, exact in zip(*found, strict=True):
        torch.testing.assert_close(ours, exact, rtol=1e-3, atol=1e-5)


def test_the_linear_loss_in_bfloat16_agrees_with_float32_up_to_its_rounding() -> None:
    torch.manual_seed(0)
    batch = {
        "future_cluster_ids": torch.randint(5000, (2, 3, 50), device="cuda"),
        "future_step_mask": torch.ones(2, 3, dtype=torch.bool, device="cuda"),
        "residue_mask": torch.ones(2, 50, dtype=torch.bool, device="cuda"),
    }
    given = [torch.randn(2, 3, 50, 64, device="cuda"), torch.randn(5000, 64, device="cuda") / 8]
    found = []
    for is_half in (True, False):
        features, weight = (tensor.clone().requires_grad_() for tensor in given)
        with torch.autocast("cuda", dtype=torch.bfloat16, enabled=is_half):
            outputs = {"features": features, "weight": weight, "bias": None}
            terms = registry.get("loss", "LinearCrossEntropy")()(outputs, batch)
        terms.sum.backward()
        found.append([terms.sum.detach(), terms.scores.nll, features.grad, weight.grad])
    for half, exact in zip(*found, strict=True):
        assert half.dtype == exact.dtype == torch.float32
        assert float((half - exact).norm() / exact.norm()) < 2e-2


def test_a_replayed_graph_takes_the_steps_that_eager_ones_take() -> None:
    case = replace(SMALL, B=1)
    steps = []
    for _ in range(2):
        torch.manual_seed(0)
        step = Step(case, torch.device("cuda"))
        step.forward_loss.eval()  # dropout draws other numbers in a graph
        steps.append(step)
    eager, captured = steps
    before = float(eager.forward().detach())
    replay = graph_of(captured.whole, torch.device("cuda"))  # it takes three steps first; capturing takes none
    for _ in range(3):
        eager.whole()
    for _ in range(20):
        eager.whole()
        replay()
    after = float(eager.forward().detach())
    assert after < before - 0.05
    assert float(captured.forward().detach()) == pytest.approx(after, rel=1e-3)


def test_the_trainer_with_all_hooks_runs_over_a_replayed_graph(tmp_path: Path) -> None:
    batches = [random_batch(SMALL)] * 60
    trainer = trainer_over_replay(SMALL, torch.device("cuda"), batches[0], 3, tmp_path)
    losses = [trainer.train_epoch(batches)["total_loss"] for _ in range(3)]
    assert losses[2] < losses[0]
