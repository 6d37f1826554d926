"""What fitting baselines and scoring on a sample of windows changes, measured on the embedded sample.

    python -m benchmarks.sampling

prints, for parts of the 165 training windows of base.gin, how much worse each baseline forecasts the 53 test windows
than one that was fitted on all; and for parts of the test windows, how far the score lies from that of all, beside the
interval that result.json gives. These are means over seeds of the sample, in bits, the first at h = 1 and h = 4.
"""

import json
from typing import Any

import numpy as np
import torch

from emprot_core.command_line import config_of
from emprot_core.contracts import GivesProbabilities
from emprot_core.evaluation.beside_baselines import fit, score_beside_baselines

SEEDS = range(5)
CPU = torch.device("cpu")
HORIZONS = [0, 3]


def job_of(**bindings: int | None) -> Any:
    bound = [f"TrajectoryWindows.{name}={value}" for name, value in bindings.items()]
    return config_of(["--gin_file=base.gin", *bound]).build("run.job")


def fitted(job: Any) -> list[Any]:
    """Its baselines that give probabilities."""
    baselines: list[Any] = [each for each in job.baselines if isinstance(each, GivesProbabilities)]
    for baseline in baselines:
        fit(baseline, job.data)
    return baselines


def scores(job: Any, baselines: list[Any]) -> dict[str, Any]:
    """By baseline the NLL in bits [F], and the entry "sampled" of result.json if there is one."""
    judged = score_beside_baselines(baselines[:1], baselines[1:], job.data, job.trainer.future_horizon, CPU)
    nll = {name: np.array(each["nll_bits"]) for name, each in judged.scores.items()}
    return {"nll": nll, **judged.test(baselines[0].name)}


def of_fits(whole: dict[str, Any], num_windows: int) -> dict[str, list[float]]:
    """By baseline how much more bits it needs when it is fitted on so many windows."""
    jobs = [job_of(max_fit_windows=num_windows, sample_seed=seed) for seed in SEEDS]
    found = [scores(job, fitted(job))["nll"] for job in jobs]
    return {
        name: np.mean([each[name] - nll for each in found], axis=0)[HORIZONS].round(4).tolist()
        for name, nll in whole["nll"].items()
    }


def of_scores(whole: dict[str, Any], baselines: list[Any], num_windows: int) -> dict[str, float]:
    """How far the scores of so many test windows lie from those of all, and how often the interval holds those."""
    far, held, half = [], [], []
    for seed in SEEDS:
        each = scores(job_of(max_eval_windows=num_windows, sample_seed=seed), baselines)
        for name, ends in each["sampled"]["nll_bits"].items():
            low, high, of_all = np.array(ends["low"]), np.array(ends["high"]), whole["nll"][name]
            far.append(np.abs(each["nll"][name] - of_all))
            held.append((low <= of_all) & (of_all <= high))
            half.append((high - low) / 2)
    return {name: round(float(np.mean(v)), 4) for name, v in (("error", far), ("half_width", half), ("held", held))}


def main() -> None:
    job = job_of(max_fit_windows=None, max_eval_windows=None)
    whole = scores(job, baselines := fitted(job))
    print(json.dumps({"by_test_windows": {n: of_scores(whole, baselines, n) for n in (40, 26, 13)}}), flush=True)
    print(json.dumps({"more_bits_by_fit_windows": {n: of_fits(whole, n) for n in (82, 41, 20)}}))


if __name__ == "__main__":
    main()
