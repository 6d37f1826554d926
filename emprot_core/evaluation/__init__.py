"""Scores of forecasts for each horizon, of a model and of the baselines beside it."""

from emprot_core.evaluation.beside_baselines import score_baselines, score_beside_baselines, score_model
from emprot_core.evaluation.forecast import model_forecaster
from emprot_core.evaluation.scores import HorizonScores, Scores, score
from emprot_core.evaluation.table import format_scores

__all__ = [
    "HorizonScores",
    "Scores",
    "format_scores",
    "model_forecaster",
    "score",
    "score_baselines",
    "score_beside_baselines",
    "score_model",
]
