"""Runs in which there is nothing to learn, and the score must say so."""

import pytest
from run_commands import bind, result

from emprot_core.cli import main

pytestmark = pytest.mark.usefixtures("in_an_empty_directory")


@pytest.mark.slow
def test_on_shuffled_frames_the_model_gains_nothing_over_the_best_baseline() -> None:
    baselines = "Train.baselines=[@baselines.occupancy(), @baselines.interpolated_residue(), @baselines.history()]"
    assert main(["--gin_file=shuffled.gin", *bind(baselines)]) == 0
    test = result("runs/shuffled")["test"]
    for step, bits in enumerate(test["model"]["nll_bits"]):
        best = min(scores["nll_bits"][step] for scores in test["baselines"].values())
        assert best - bits <= 0.01, f"h = {step + 1}"
