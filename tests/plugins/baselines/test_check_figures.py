"""The interpolated baseline on real dynamics against figures found independently of this code.

ProLIF's 5-HT1B receptor, fitted on targets in the first 70 % of the frames, tested on targets in the last 20 %.
3Di depends on where C-beta is: unrounded coordinates with the C-beta atoms of the file come within .007 bits of all
figures; the sample, whose backbone is rounded to 0.05 A and whose C-beta is ideal, within .012.
"""

import pytest
from baseline_scores import fitted_scores
from emprot_plugins.baselines.interpolated import Interpolated
from emprot_plugins.baselines.interpolated_residue import InterpolatedResidue
from emprot_plugins.baselines.markov import MarkovBaseline
from emprot_plugins.baselines.occupancy import OccupancyBaseline
from emprot_plugins.baselines.persistence import Persistence
from emprot_plugins.data.trajectory_windows import TrajectoryWindows
from emprot_plugins.splits.by_time import ByTime

HORIZON = 4


def sample(vocabulary, history):
    return TrajectoryWindows(f"sample:{vocabulary}", history, HORIZON, ByTime(0.7, 0.1, 0.2), trajectories=["prolif*"])


@pytest.mark.parametrize(
    ("vocabulary", "history", "horizon", "bits", "tolerance"),
    [
        ("protein_blocks", 10, 1, 0.289, 0.005),
        ("protein_blocks", 10, 4, 0.388, 0.005),
        ("protein_blocks", 5, 1, 0.295, 0.005),
        ("protein_blocks", 20, 1, 0.293, 0.005),
        ("threedi", 10, 1, 1.009, 0.005),
        ("threedi", 10, 4, 1.105, 0.012),
        ("threedi", 5, 1, 1.088, 0.012),
        ("threedi", 20, 1, 0.973, 0.005),
    ],
)
def test_interpolated_reproduces_its_known_bits(vocabulary, history, horizon, bits, tolerance):
    scores = fitted_scores([Interpolated()], sample(vocabulary, history), HORIZON)["interpolated"]
    assert scores["nll_bits"][horizon - 1] == pytest.approx(bits, abs=tolerance)


@pytest.mark.parametrize("vocabulary", ["protein_blocks", "threedi", "kmeans_environment"])
def test_the_ladder_of_baselines_stands_in_its_order_at_every_horizon(vocabulary):
    ladder = [InterpolatedResidue(), Interpolated(), MarkovBaseline(), OccupancyBaseline(), Persistence()]
    scores = fitted_scores(ladder, sample(vocabulary, 10), HORIZON)
    for step in range(HORIZON):
        bits = {name: each["nll_bits"][step] for name, each in scores.items() if each["nll_bits"]}
        assert bits["interpolated_residue"] < bits["interpolated"] < min(bits["markov"], bits["occupancy"])


def test_fifty_frames_of_the_sample_are_tested_at_every_horizon():
    data = sample("protein_blocks", 10)
    counted = sum(batch["future_step_mask"].sum(dim=0) for batch in data.loader("test"))
    assert counted.tolist() == [50, 50, 50, 50]
