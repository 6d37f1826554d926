"""Runs in which there is nothing to learn, or nearly everything, and the verdict must say so."""

import pytest
from run_commands import bind, result

from emprot_core.cli import main

pytestmark = pytest.mark.usefixtures("in_an_empty_directory")
BASELINES = "Train.baselines=[@baselines.occupancy(), @baselines.history_site(), @baselines.history_alike()]"


EXPERTS = ["--gin_file=experts.gin", *bind("TrajectoryWindows.shuffle_frames=0")]


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["--gin_file=shuffled.gin"], marks=pytest.mark.campaign, id="base"),
        pytest.param(EXPERTS, marks=pytest.mark.campaign, id="gated experts"),
    ],
)
def test_on_shuffled_frames_the_model_gains_nothing_over_the_best_baseline(arguments: list[str]) -> None:
    assert main([*arguments, *bind(BASELINES, "run.directory='run'")]) == 0
    test = result("run")["test"]
    assert max(test["gains"][test["best_baseline"]]["bits"]) <= 0.01
    assert test["verdict"] != "better"


@pytest.mark.campaign
def test_a_copy_task_is_solved_by_the_model_and_by_no_baseline() -> None:
    assert main(["--gin_file=copy.gin", *bind("Trainer.max_epochs=3", "run.directory='run'")]) == 0
    test = result("run")["test"]
    assert min(test["gains"][test["best_baseline"]]["bits"]) > 0.5
    assert test["verdict"] == "better"
