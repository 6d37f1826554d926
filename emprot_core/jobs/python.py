"""The command line in Python: train, and ask a trained model for a forecast."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from emprot_core import config
from emprot_core.data.joined_stores import open_stores
from emprot_core.data.past_batch import batch_before
from emprot_core.errors import EmprotError
from emprot_core.evaluation.forecast import ModelForecast
from emprot_core.jobs.forward import outputs_of
from emprot_core.jobs.load import StoredRun
from emprot_core.jobs.reporting import REPORT_FILE
from emprot_core.jobs.run import REFUSED, directory_of, run_job


def run(*arguments: str, fresh: bool = False) -> dict[str, Any]:
    """Do what `emprot-run` does with gin files and overrides: run("base.gin", "Trainer.max_epochs=3").

    Args:
        arguments: names of gin files, and overrides Name.parameter=value.
        fresh: take the next free run directory instead of going on in the one there is.

    Returns:
        What result.json of the run holds; nothing for a job that writes none.

    Raises:
        ConfigError: the config is wrong; nothing was run.
        EmprotError: the run was refused.
    """
    files = [argument for argument in arguments if argument.endswith(".gin") and "=" not in argument]
    loaded = config.load(files, overrides=[argument for argument in arguments if argument not in files])
    directory = directory_of(loaded, fresh)
    if run_job(loaded, directory) == REFUSED:
        raise EmprotError(f"the run in {directory} was refused; the log says why")
    path = directory / "result.json"
    return json.loads(path.read_text()) if path.is_file() else {}


def report(*runs: str | Path, output: str | Path | None = None) -> Path:
    """Write one HTML page about runs, as `emprot-run --report` does, and give its path (extra `report`).

    Args:
        output: the page; report.html in the first run by default.

    Raises:
        ModuleNotFoundError: plotly is not installed.
        EmprotError: there is no such run.
    """
    page = Path(runs[0], "report.html") if output is None else Path(output)
    run(REPORT_FILE, f"RUNS={[str(each) for each in runs]!r}", f"OUTPUT={str(page)!r}")
    return page


def forecast(run: str | Path, source: str | Path | np.ndarray, device: str = "cpu") -> dict[str, np.ndarray]:
    """What a trained model expects after the last frame of trajectories.

    Args:
        run: the directory of a run.
        source: cluster IDs (frames, residues) of one trajectory, or the path of a store.

    Returns:
        trajectory (W,) names, last_frame (W,), and probabilities (W, F, N, C) float32, W being the number of
        trajectories; NaN for residues that a trajectory does not have.

    Raises:
        EmprotError: there is no such run or store, the IDs are no classes of the model, or have no frames.
    """
    stored = StoredRun(run)
    model: Any = stored.model().to(device)
    names, all_ids = _trajectories(source, model.num_clusters)
    forecaster = ModelForecast([outputs_of(model)], torch.device(device))
    shape = (len(names), model.future_horizon, max(ids.shape[1] for ids in all_ids), model.num_clusters)
    probabilities = np.full(shape, np.nan, np.float32)
    for row, ids in enumerate(all_ids):
        batch = batch_before([ids], [len(ids) - 1], stored.input_frames, model.future_horizon)
        for step in range(model.future_horizon):
            probabilities[row, step, : ids.shape[1]] = forecaster.probabilities(batch, step + 1)[0]
    last_frames = np.array([len(ids) - 1 for ids in all_ids])
    return {"trajectory": np.array(names), "last_frame": last_frames, "probabilities": probabilities}


def _trajectories(source: str | Path | np.ndarray, num_clusters: int) -> tuple[list[str], Sequence[np.ndarray]]:
    if isinstance(source, str | Path):
        store = open_stores(source)
        names = store.index["name"].tolist()
        found = store.vocabulary.num_clusters
        if found != num_clusters:
            raise EmprotError(f"the store {source} has {found} clusters, the model {num_clusters}; give another store")
        return names, [store.ids(row) for row in range(len(store))]
    ids = np.asarray(source)
    if ids.ndim != 2 or not ids.size or not np.issubdtype(ids.dtype, np.integer):
        raise EmprotError(f"got IDs {ids.dtype} of shape {ids.shape}, expected integers (frames, residues)")
    if ids.min() < -1 or ids.max() >= num_clusters:
        raise EmprotError(f"got IDs from {ids.min()} to {ids.max()}, expected -1 (missing) to {num_clusters - 1}")
    return [""], [ids]
