"""Scores of forecasts for each horizon, of a model and of the baselines beside it, and the verdict on the gain."""

from emprot_core.evaluation.beside_baselines import (
    applicable,
    check_names,
    fit,
    score_baselines,
    score_beside_baselines,
    score_model,
    unseen_groups,
)
from emprot_core.evaluation.forecast import model_forecaster
from emprot_core.evaluation.scores import HorizonScores, Scores, score
from emprot_core.evaluation.table import format_scores
from emprot_core.evaluation.token_scores import SCORE_VERSION, TokenScores
from emprot_core.evaluation.verdict import best_baseline, judge, verdict_line

__all__ = [
    "SCORE_VERSION",
    "HorizonScores",
    "Scores",
    "TokenScores",
    "applicable",
    "best_baseline",
    "check_names",
    "fit",
    "format_scores",
    "judge",
    "model_forecaster",
    "score",
    "score_baselines",
    "score_beside_baselines",
    "score_model",
    "unseen_groups",
    "verdict_line",
]
