"""Mistakes of the writer of a plugin: one message that names the component and its place, before the first step."""

# ruff: noqa: E501  (a table of mistakes)

import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from emprot_core import registry
from emprot_core.cli import main

HEADER = """
from dataclasses import dataclass
import numpy as np, torch
from torch import nn
from emprot_core import register, Hook
from emprot_core.batch import target_mask
from emprot_core.contracts import LossTerms, Prediction, Structure, TokenScores
"""
MODEL = """
@register("model")
class Mine(nn.Module):
    def __init__(self, num_clusters=256, future_horizon=4):
        super().__init__()
        self.num_clusters, self.future_horizon = num_clusters, future_horizon
        self.table = nn.Embedding(num_clusters + 1, num_clusters * future_horizon)

    def forward(self, ids, times, lengths, mask):
        logits = self.table(ids[:, -1].masked_fill(ids[:, -1] < 0, self.num_clusters))
        logits = logits.unflatten(-1, (self.future_horizon, -1)).transpose(1, 2)
        return {"cluster_logits": logits}
"""
LOSS = """
@register("loss")
class Mine:
    inputs = "logits"

    def __call__(self, outputs, batch):
        mask, logits = target_mask(batch), outputs["cluster_logits"]
        targets = batch["future_cluster_ids"].clamp_min(0)
        nll = nn.functional.cross_entropy(logits.movedim(-1, 1), targets, reduction="none") * mask
        return LossTerms(nll.sum(), mask.sum().float(), TokenScores(mask, nll.detach(), logits.argmax(-1)))
"""
METRIC = """
@register("metric")
class Mine:
    name = "mine"
    every_step = False

    def __call__(self, outputs, batch, scores):
        return scores.nll.sum(), scores.mask.sum()
"""
HOOK = """
@register("hook")
class Mine(Hook):
    def on_step_end(self, trainer):
        pass
"""
OPTIMIZER = """
@register("optimizer")
def Mine(named_parameters):
    return torch.optim.SGD([parameter for _, parameter in named_parameters], lr=0.1)
"""
SCHEDULER = """
@register("scheduler")
def Mine(optimizer, num_steps):
    return torch.optim.lr_scheduler.ConstantLR(optimizer)
"""
BASELINE = """
@register("baseline")
class Mine:
    name = "mine"

    def fit(self, train, validation, num_clusters):
        self.num_clusters = num_clusters

    def predict(self, batch):
        shape = batch["future_cluster_ids"].shape
        return Prediction(np.zeros(shape, int), np.full(shape, np.log(self.num_clusters)))

    def probabilities(self, batch, horizon):
        windows, _, residues = batch["future_cluster_ids"].shape
        return np.full((windows, residues, self.num_clusters), 1 / self.num_clusters)
"""
SCORE = """
@register("score")
class Mine:
    def start(self, num_clusters, horizon):
        self.horizon = horizon

    def add(self, probabilities, batch):
        pass

    def result(self):
        return {"mine": [0.0] * self.horizon}
"""
SPLIT = """
@register("split")
class Mine:
    def spans(self, index):
        return {"train": [(0, 0, 50)], "validation": [(0, 50, 60)], "test": [(0, 60, 70)]}
"""
TOKENIZER = """
@register("tokenizer")
class Mine:
    name = "mine"
    num_clusters = 4

    def fit(self, structures):
        pass

    def encode(self, structure):
        return np.zeros(structure.coordinates.shape[:2], int)

    def description(self):
        return {}

    def arrays(self):
        return {}
"""
READER = """
@register("reader")
class Mine:
    def read(self, path):
        for residues in (5, 5):
            yield Structure(np.zeros((3, residues, 4, 3), np.float32), np.zeros(residues, int))
"""
JOB = """
@register("job")
class Mine:
    def run(self, context):
        return 0
"""
DATA = """
@register("data")
class Mine:
    pass
"""
MIXING = """
@register("mixing")
class Mine:
    def build(self, d_embed, num_heads, num_layers, dropout, attention):
        return Mean()

class Mean(nn.Module):
    def forward(self, x, mask, state=None):
        weights = mask[..., None].to(x.dtype)
        return (x * weights).sum(1) / weights.sum(1).clamp_min(1)
"""
ATTENTION = """
@register("attention")
def Mine(q, k, v, mask=None, bias=None):
    scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
    scores = scores if mask is None else scores.masked_fill(~mask, -1e30)
    return scores.softmax(-1) @ v
"""
BOUND = {
    MIXING: "ProteinTransformerClassificationOnly.mixing=@mixings.Mine()",
    ATTENTION: "ProteinTransformerClassificationOnly.attention=@attention.Mine",
    MODEL: "Trainer.model=@models.Mine()",
    LOSS: "Trainer.loss=@losses.Mine()",
    METRIC: "Trainer.metrics=[@metrics.Mine()]",
    HOOK: "Trainer.extra_hooks=[@hooks.Mine()]",
    OPTIMIZER: "Trainer.optimizer=@optimizers.Mine",
    SCHEDULER: "Trainer.scheduler=@schedulers.Mine",
    BASELINE: "Train.baselines=[@baselines.Mine()]",
    SCORE: "Train.scores=[@scores.Mine()]",
    SPLIT: "TrajectoryWindows.split=@splits.Mine()",
    JOB: "run.job=@jobs.Mine()",
    DATA: "Train.data=@data.Mine()",
    TOKENIZER: "Prepare.tokenizers=[@tokenizers.Mine()]",
    READER: "Prepare.reader=@readers.Mine()",
}
IN_PREPARE = (TOKENIZER, READER)
NLL = "np.full(shape, np.log(self.num_clusters))"
LOGITS = 'return {"cluster_logits": logits}'
TERMS = "return LossTerms(nll.sum(), mask.sum().float(), TokenScores(mask, nll.detach(), logits.argmax(-1)))"
MISTAKES = [
    (MODEL, "        self.num_clusters, self.future_horizon = num_clusters, future_horizon\n", "", "an attribute num_clusters"),
    (MODEL, "Mine(nn.Module)", "Mine", r"expected a torch\.nn\.Module|cannot assign module"),
    (MODEL, LOGITS, "return logits", r"expected a dict with 'cluster_logits', got a tensor"),
    (MODEL, "cluster_logits", "logits", "got a dict with 'logits'; name that output 'cluster_logits'"),
    (MODEL, "transpose(1, 2)", "contiguous()", r"expected cluster_logits of shape \(B, F, N, C\)"),
    (MODEL, LOGITS, 'return {"cluster_logits": logits[..., 1:]}', "one number for each class"),
    (MODEL, LOGITS, 'return {"cluster_logits": logits / 0}', "to be finite where a target counts"),
    (MODEL, LOGITS, 'return {"cluster_logits": logits.long()}', "of a floating-point dtype"),
    (MODEL, ".masked_fill(ids[:, -1] < 0, self.num_clusters)", "", r"a forecast where an ID is -1 \(missing\)"),
    (MODEL, LOGITS, 'return {"cluster_logits": logits + mask.float().mean((1, 2))[:, None, None, None] * logits}', "masked frames"),
    (MODEL, LOGITS, 'return {"cluster_logits": logits * (1 + logits.mean(2, True))}', "masked residues"),
    (MODEL, "ids, times, lengths, mask", "ids, times", r"expected forward\(input_cluster_ids, times"),
    (LOSS, '    inputs = "logits"\n', "", "an attribute inputs"),
    (LOSS, '"logits"\n', '"logit"\n', '"logits" or "features", got \'logit\''),
    (LOSS, '"logits"\n', '"features"\n', r"KeyError"),
    (LOSS, TERMS, "return nll.sum()", r"expected LossTerms\(sum, weight, scores\), got a tensor"),
    (LOSS, "nll.sum(), mask", "nll, mask", r"expected sum of shape \(\), one number, .*; add up what it holds, with .sum\(\)"),
    (LOSS, "mask.sum().float()", "torch.zeros(())", "expected a weight above 0"),
    (LOSS, "nll.sum(), mask", "nll.sum().detach(), mask", "from which gradients reach the model"),
    (LOSS, "TokenScores(mask, nll.detach(), logits.argmax(-1))", "None", "expected scores to be TokenScores"),
    (LOSS, "logits.argmax(-1)", "logits.argmax(-1) + 256", "scores.predicted to be classes, 0 to 255"),
    (LOSS, "self, outputs, batch", "self, outputs", r"expected __call__\(outputs, batch\)"),
    (LOSS, "targets = batch", "targets = 255 + batch", "raised IndexError: Target"),
    (METRIC, "return scores.nll.sum(), scores.mask.sum()", "return 1.0", r"a pair \(sum, weight\) of tensors, got 1\.0"),
    (METRIC, "return scores.nll.sum()", "return scores.nll.sum((1, 2))", r"expected the sum of shape \(F,\) = \(4,\)"),
    (METRIC, '    name = "mine"\n', "", "an attribute name, a str"),
    (METRIC, '"mine"', '"token_ce"', "'token_ce', which is taken"),
    (HOOK, "on_step_end(self, trainer)", "on_step_end(self, trainer, batch)", r"expected on_step_end\(trainer\)"),
    (HOOK, "Mine(Hook)", "Mine", "expected a hook, got a Mine that is none; derive the class from emprot_core.Hook"),
    (HOOK, "on_step_end(self, trainer):\n        pass", "on_fit_start(self, trainer):\n        1 / 0", r"raised ZeroDivisionError: division by zero\n  .*faulty\.py:\d+, in on_fit_start\n"),
    (OPTIMIZER, "return ", "", "expected a torch Optimizer, got None; does the function return it"),
    (OPTIMIZER, "[parameter for _, parameter in named_parameters]", "[nn.Parameter(torch.ones(1))]", "has none of them"),
    (SCHEDULER, "optimizer, num_steps", "optimizer", r"expected Mine\(optimizer, num_steps\), got Mine\(optimizer\)"),
    (SCHEDULER, "return ", "", "expected a torch LRScheduler, got None"),
    (BASELINE, "Prediction(np.zeros(shape, int)", "Prediction(np.zeros(shape[1:], int)", r"expected predicted of shape \(B, F, N\)"),
    (BASELINE, "np.zeros(shape, int)", "np.full(shape, 256)", "expected predicted to be classes, 0 to 255, got 256"),
    (BASELINE, NLL, "np.full(shape, np.nan)", "nll_nats to be 0 or more"),
    (BASELINE, NLL, "np.full(shape, 1.0)", "to be the probability of the target"),
    (BASELINE, "1 / self.num_clusters)", "1.0)", "got a row of sum 256"),
    (BASELINE, "    def fit(self, train, validation, num_clusters):", "    def fit(self, train):", r"expected fit\(train, validation"),
    (BASELINE, '    name = "mine"\n', "", "an attribute name, a str"),
    (BASELINE, "return Prediction(np.zeros(shape, int), " + NLL + ")", "return np.zeros(shape, int)", r"Prediction\(predicted, nll_nats\), got an array"),
    (SCORE, "[0.0] * self.horizon", "0.0", r"result\(\) to give lists of 4 values"),
    (SPLIT, '"test"', '"tests"', "got an entry 'tests'"),
    (SPLIT, "(0, 60, 70)", "(0, 60, 10**6)", "frames; a span must lie inside its trajectory"),
    (SPLIT, "(0, 60, 70)", "(0, 50, 70)", "are targets twice, in validation and in test"),
    (MIXING, "return (x * weights).sum(1) / weights.sum(1).clamp_min(1)", "return x", r"expected a context \(B, N, D\)"),
    (MIXING, "num_layers, dropout, attention", "dropout", r"expected build\(d_embed, num_heads"),
    (ATTENTION, ".softmax(-1) @ v", ".softmax(-1)", r"expected a tensor \(batch, heads, queries, head size\)"),
    (ATTENTION, "mask is None", "nothing is None", "raised NameError: name 'nothing' is not defined"),
    (JOB, "def run", "def start", r"expected a method run\(context\), got no such method"),
    (DATA, "pass", 'digest = ""', "an attribute vocabulary"),
    (TOKENIZER, "np.zeros(structure.coordinates.shape[:2], int)", "np.full(structure.coordinates.shape[:2], 1.5)", "IDs of an integer dtype, got an array"),
    (TOKENIZER, "np.zeros(structure.coordinates.shape[:2], int)", "np.full(structure.coordinates.shape[:2], 4)", r"expected IDs from -1 \(missing\) to 3, got 4 at frame 0"),
    (TOKENIZER, "np.zeros(structure.coordinates.shape[:2], int)", "np.zeros(3, int)", r"expected IDs \(frames, residues\)"),
    (TOKENIZER, "    def arrays", "    def array", r"expected a method arrays\(\), got no such method"),
    (READER, "(5, 5)", "(5, 6)", "every chunk to have the same residues, got one of 6 residues after one of 5"),
    (READER, "yield Structure(np.zeros((3, residues, 4, 3), np.float32), np.zeros(residues, int))", "yield np.zeros(3)", "each chunk to be a Structure"),
    (READER, "4, 3), np.float32", "3), np.float32", "expected coordinates of shape"),
]  # fmt: skip


@pytest.fixture
def write_plugin(tmp_path: Path, monkeypatch) -> Iterator:
    """Writes the module `faulty`, a plugin, into the current directory; it is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    registry.load_plugins()
    before = dict(registry._entries)
    yield lambda source: (tmp_path / "faulty.py").write_text(HEADER + textwrap.dedent(source))
    registry._entries.clear()
    registry._entries.update(before)
    sys.modules.pop("faulty", None)
    registry._failures.pop("faulty", None)
    if "faulty" in registry._plugins:
        registry._plugins.remove("faulty")


def arguments_for(kind: str) -> list[str]:
    if kind in IN_PREPARE:
        bindings = ["Prepare.source='*.xyz'", "Prepare.output='out'", "Prepare.num_workers=1", "Prepare.fit_on=[]"]
        if kind == READER:
            bindings.append("Prepare.tokenizers=[@tokenizers.rama_bins()]")
        else:
            bindings += ["Prepare.source='sample:coordinates'"]
        return ["--gin_file=prepare_sample.gin", "--plugin=faulty", *bindings, BOUND[kind]]
    bindings = ["Train.baselines=[]", "Trainer.max_steps=1", "Trainer.metrics=[]", BOUND[kind]]
    return ["--gin_file=debug.gin", "--plugin=faulty", "--allow_unused", *bindings]


@pytest.mark.parametrize("kind", [kind for kind in BOUND if kind != DATA], ids=lambda kind: BOUND[kind])
def test_the_part_without_a_mistake_is_taken(kind: str, write_plugin, capsys) -> None:
    write_plugin(kind)
    Path("a.xyz").touch()
    assert main(arguments_for(kind)) == 0, capsys.readouterr().err


@pytest.mark.parametrize(("kind", "right", "wrong", "message"), MISTAKES, ids=map(str, range(len(MISTAKES))))
def test_a_mistake_in_a_part_is_told_in_the_words_of_its_author(
    kind: str, right: str, wrong: str, message: str, write_plugin, capsys, monkeypatch
) -> None:
    assert right in kind
    write_plugin(kind.replace(right, wrong))
    Path("a.xyz").touch()
    monkeypatch.setattr("emprot_core.training.loop.train_step", None)  # no step must be made
    assert main(arguments_for(kind)) in (1, 2)
    told = capsys.readouterr().err
    assert "Traceback" not in told
    error = told[told.index("error: ") :]
    assert re.match(r"error: (\w+\.Mine|Mean) \(faulty\.py:\d+\)", error), error
    assert re.search(message, error), error
    assert not re.search(r"emprot_(core|plugins)/.*\.py", error), error
