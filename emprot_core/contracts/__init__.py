"""What a component must have: one Protocol for each kind.

A plugin need not inherit from these. It is enough that it has the methods. Shapes use the legend of
`emprot_core.batch`.
"""

from emprot_core.contracts.baselines import Baseline, DistributionBaseline, Prediction, SavedBaseline
from emprot_core.contracts.data import (
    Data,
    DataSplit,
    Split,
    StepLoader,
    TrajectoryFrames,
    UsesClassCounts,
    Vocabulary,
)
from emprot_core.contracts.jobs import Job
from emprot_core.contracts.losses import Loss, LossTerms, Metric, TokenScores
from emprot_core.contracts.models import Attention, FactoredModel, Mixing, Model, Outputs, UsesClusterLookup
from emprot_core.contracts.optimizers import Flattens, Optimizer, Scheduler
from emprot_core.contracts.readers import ArchiveReader, Reader, Structure, Tokenizer, UsesOtherFiles

__all__ = [
    "ArchiveReader",
    "Attention",
    "Baseline",
    "Data",
    "DataSplit",
    "DistributionBaseline",
    "FactoredModel",
    "Flattens",
    "Job",
    "Loss",
    "LossTerms",
    "Metric",
    "Mixing",
    "Model",
    "Optimizer",
    "Outputs",
    "Prediction",
    "Reader",
    "SavedBaseline",
    "Scheduler",
    "Split",
    "StepLoader",
    "Structure",
    "TokenScores",
    "Tokenizer",
    "TrajectoryFrames",
    "UsesClassCounts",
    "UsesClusterLookup",
    "UsesOtherFiles",
    "Vocabulary",
]
