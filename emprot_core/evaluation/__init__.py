"""Scores of forecasts for each horizon, of a model and of the baselines beside it, and the verdict on the gain."""
