"""What a component must have: one Protocol for each kind.

A plugin need not inherit from these. It is enough that it has the methods. Shapes use the legend of
`emprot_core.batch`.
"""

from emprot_core.contracts.baselines import (
    Baseline,
    Forecaster,
    GivesProbabilities,
    Prediction,
    SavedBaseline,
)
from emprot_core.contracts.data import (
    CountsTransitions,
    Data,
    DataSplit,
    HasVocabularyArrays,
    ReadsStores,
    SampledWindows,
    SamplesWindows,
    Split,
    StepLoader,
    StorePlace,
    TrajectoryFrames,
    Transitions,
    UsesClassCounts,
    Vocabulary,
)
from emprot_core.contracts.experts import Expert, LastIDs, Opinion, Past, Rows
from emprot_core.contracts.jobs import LAUNCHED, Executor, Job, Launcher, MergesShards
from emprot_core.contracts.losses import Loss, LossTerms, Metric, TokenScores
from emprot_core.contracts.models import (
    Attention,
    FactoredModel,
    Mixing,
    Model,
    Outputs,
    UsesClusterLookup,
    UsesTransitions,
)
from emprot_core.contracts.optimizers import (
    Flattens,
    HasParameterGroups,
    NamedParameters,
    Optimizer,
    ParameterGroup,
    Scheduler,
)
from emprot_core.contracts.readers import (
    RESIDUE_DTYPE,
    ArchiveReader,
    Reader,
    Structure,
    Tokenizer,
    UsesOtherFiles,
)
from emprot_core.contracts.results import CATrace, SeenWindows, Tested
from emprot_core.contracts.scores import Score, UsesData

__all__ = [
    "LAUNCHED",
    "RESIDUE_DTYPE",
    "ArchiveReader",
    "Attention",
    "Baseline",
    "CATrace",
    "CountsTransitions",
    "Data",
    "DataSplit",
    "Executor",
    "Expert",
    "FactoredModel",
    "Flattens",
    "Forecaster",
    "GivesProbabilities",
    "HasParameterGroups",
    "HasVocabularyArrays",
    "Job",
    "LastIDs",
    "Launcher",
    "Loss",
    "LossTerms",
    "MergesShards",
    "Metric",
    "Mixing",
    "Model",
    "NamedParameters",
    "Opinion",
    "Optimizer",
    "Outputs",
    "ParameterGroup",
    "Past",
    "Prediction",
    "Reader",
    "ReadsStores",
    "Rows",
    "SampledWindows",
    "SamplesWindows",
    "SavedBaseline",
    "Scheduler",
    "Score",
    "SeenWindows",
    "Split",
    "StepLoader",
    "StorePlace",
    "Structure",
    "Tested",
    "TokenScores",
    "Tokenizer",
    "TrajectoryFrames",
    "Transitions",
    "UsesClassCounts",
    "UsesClusterLookup",
    "UsesData",
    "UsesOtherFiles",
    "UsesTransitions",
    "Vocabulary",
]
