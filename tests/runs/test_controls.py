"""Runs in which there is nothing to learn, and the score must say so."""

import pytest
from run_commands import bind, result

from emprot_core.cli import main

pytestmark = pytest.mark.usefixtures("in_an_empty_directory")


BASELINES = """Train.baselines=[
    @baselines.occupancy(), @baselines.interpolated_residue(), @baselines.history(), @baselines.history_site()
]"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [["--gin_file=shuffled.gin"], ["--gin_file=experts_threedi.gin", *bind("TrajectoryWindows.shuffle_frames=0")]],
    ids=["base", "gated experts on 3Di"],
)
def test_on_shuffled_frames_the_model_gains_nothing_over_the_best_baseline(arguments: list[str]) -> None:
    assert main([*arguments, *bind(BASELINES, "run.directory='run'")]) == 0
    test = result("run")["test"]
    for step, bits in enumerate(test["model"]["nll_bits"]):
        best = min(scores["nll_bits"][step] for scores in test["baselines"].values())
        assert best - bits <= 0.01, f"h = {step + 1}"
