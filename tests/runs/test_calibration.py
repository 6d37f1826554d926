"""Whether the probabilities of the shipped mixture mean what they say."""

import numpy as np
import pytest
from run_commands import bind

import emprot_core
from emprot_core.batch import target_mask
from emprot_core.cli import main
from emprot_core.jobs.forward import outputs_of

pytestmark = pytest.mark.usefixtures("in_an_empty_directory")
NUM_BINS = 15


@pytest.mark.campaign
@pytest.mark.parametrize(("gin_file", "bound"), [("experts", 0.03), ("experts_threedi", 0.015)])
def test_the_expected_calibration_error_is_small_at_every_horizon(gin_file: str, bound: float, record_property) -> None:
    """15 equal bins of the probability of the most probable class; a whole training, minutes on 2 cores."""
    assert main([f"--gin_file={gin_file}.gin", *bind("Train.baselines=[]", "run.directory='run'")]) == 0
    model, _, config = emprot_core.load_run("run")
    forward, data = outputs_of(model), config.build("Train.data")
    found = []
    for batch in data.loader("test"):
        probabilities, targets = forward(batch)["cluster_logits"].detach().exp(), batch["future_cluster_ids"]
        confidence, top = probabilities.max(dim=-1)
        mask = target_mask(batch)
        for step in range(4):
            at = mask[:, step]
            hits = (top[:, step] == targets[:, step])[at]
            found += [(step, p, hit) for p, hit in zip(confidence[:, step][at].tolist(), hits.tolist(), strict=True)]
    steps, confidences, hits = (np.array(column) for column in zip(*found, strict=True))
    for step in range(4):
        error = calibration_error(confidences[steps == step], hits[steps == step])
        record_property(f"ece_h{step + 1}", error)
        print(f"{gin_file} h={step + 1}: ECE {error:.4f}")
        assert error <= bound


def calibration_error(confidence: np.ndarray, hit: np.ndarray) -> float:
    bins = np.minimum((confidence * NUM_BINS).astype(int), NUM_BINS - 1)
    gaps = [abs((hit[bins == i] - confidence[bins == i]).sum()) for i in range(NUM_BINS)]
    return float(sum(gaps) / len(hit))


def test_the_calibration_error_of_honest_and_of_overconfident_probabilities() -> None:
    confidence = np.full(1000, 0.7)
    honest = np.arange(1000) % 10 < 7
    assert calibration_error(confidence, honest) == pytest.approx(0.0, abs=1e-12)
    assert calibration_error(np.full(1000, 0.9), honest) == pytest.approx(0.2)
