"""The job that asks a trained model what comes next: probabilities, rollouts, and the structure coloured by them."""

import logging
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from emprot_core.contracts import Baseline, GivesProbabilities
from emprot_core.data.joined_stores import JoinedStores
from emprot_core.data.store import CLASS_IDS
from emprot_core.errors import EmprotError
from emprot_core.evaluation.forecast import MODEL, ModelForecast
from emprot_core.evaluation.forecast_format import write_forecast
from emprot_core.evaluation.scored_windows import ScoredWindows
from emprot_core.files import write_atomically
from emprot_core.jobs.context import RunContext
from emprot_core.jobs.forward import outputs_of
from emprot_core.jobs.judging import Ground, comparable, find_ground, fitted
from emprot_core.jobs.load import StoredRun
from emprot_core.registry import register

from .forecast_pass import Collected, collect
from .forecast_windows import Frames, Store, Windows, store_of, windows_at, windows_of_split
from .kinetics_report import write_kinetics
from .residue_values import TITLES, Value, as_csv
from .rollout_store import Origin, write_rollouts
from .rollouts import Plan, Sampler, Start, Way
from .structure_files import Coloured, write_colours, write_mmcif, write_pdb

_log = logging.getLogger("emprot")
Format = Literal["pdb", "mmcif"]


@register("job")
class Forecast:
    """Writes what a run expects to come into a folder: probabilities, a table of residues, rollouts, structures.

    forecast.npz and forecast.json   probabilities of every class (evaluation.forecast_format)
    residues.csv                     change probability, entropy, surprise and gain of each residue
    rollouts/                        a store of trajectories that were drawn
    <trajectory>.pdb, .cif, .pml     the reference backbone with a value of each residue in the B-factor
    """

    def __init__(
        self,
        run: str,
        output: str,
        store: str | Sequence[str] | None = None,
        trajectories: Sequence[str] | None = None,
        frames: Frames = "test",
        forecaster: str = MODEL,
        rollouts: int = 4,
        rollout_frames: int = 50,
        way: Way = "one_step",
        temperature: float = 1.0,
        top_p: float = 1.0,
        kinetics: bool = False,
        colour: Value = "change_probability",
        formats: Sequence[Format] = ("pdb",),
        top_k: int = 256,
    ):
        """
        Args:
            run: the directory of a trained run.
            output: the folder to write into.
            store: other stores of the run's vocabulary; None means those of the run.
            trajectories: names or patterns of trajectories; None means those of the run or, of other stores, all.
            frames: "test" takes the windows of the test split, "all" those of all frames, "last" the last frame of each
                trajectory, and a list of numbers the windows that end with these frames.
            forecaster: "model", or the name of one of the run's baselines.
            rollouts: how many trajectories are drawn from each; 0 for none. They begin before the first test frame or,
                with "all" and "last", after the last frame.
            rollout_frames: the length of each.
            way: "one_step" draws frame by frame; "direct" draws as many frames at once as the model forecasts.
            temperature: of the drawing; below 1 residues change less often than they should.
            top_p: the share of probability that is drawn from.
            kinetics: write kinetics.json: whether rollouts move as the simulation does (extra `kinetics`).
            colour: what the B-factors hold.
            formats: of the structure files.
            top_k: with more classes than that, only so many are kept of each row.

        Raises:
            EmprotError: a number is out of range.
        """
        for name, value, least in (
            ("rollouts", rollouts, 0),
            ("rollout_frames", rollout_frames, 1),
            ("top_k", top_k, 1),
        ):
            if value < least:
                raise EmprotError(f"Forecast.{name} is {value}, expected {least} or more")
        self._directory, self._output = run, Path(output)
        self._store, self._trajectories, self._frames, self._forecaster = store, trajectories, frames, forecaster
        self._rollouts, self._rollout_frames = rollouts, rollout_frames
        self._sampler, self._way = Sampler(temperature, top_p), way
        self._colour: Value = colour
        self._formats, self._top_k, self._kinetics = formats, top_k, kinetics

    def run(self, context: RunContext) -> None:
        """
        Raises:
            EmprotError: there is no such run, store, forecaster or frame; or a model knows single residues of another
                protein than the store has.
        """
        run = StoredRun(self._directory)
        part: Any = self._frames if self._frames in ("test", "all") else "all"
        ground = find_ground(run, self._store, self._trajectories, part)
        store = store_of(ground.data)
        model: Any = run.model().to(context.device)
        forecaster, bar = self._forecasters(run, model, ground, context.device)
        windows, batches = self._windows(run, ground, store, model.future_horizon)
        parts = self._output / "forecast.parts"
        horizon, best = model.future_horizon, min(self._top_k, model.num_clusters)
        found = collect(forecaster, bar, store, windows, batches, horizon, best, parts)
        self._write_forecast(run, store, windows, found)
        shutil.rmtree(parts)
        structures = {name: store.structure(row) for name, row in found.rows.items()}
        tables = {name: None if own is None else own[0] for name, own in structures.items()}
        write_atomically(self._output / "residues.csv", as_csv(found.values, tables).encode())
        self._write_structures(found, structures)
        if self._rollouts:
            plan = Plan(self._rollout_frames, run.input_frames, horizon, self._sampler, self._way)
            made_by = [run.fitted_for, run.state["step"], self._forecaster, ground.data.digest, self._rollouts]
            origins = list(self._origins(found, store, run.input_frames))
            write_rollouts(self._output / "rollouts", forecaster, origins, store, self._rollouts, plan, made_by)
            if self._kinetics:
                write_kinetics(self._output, origins, store, self._rollouts)
        _log.info("forecast of %d windows of %d trajectories: %s", len(windows.last_frame), len(tables), self._output)

    def _forecasters(
        self, run: StoredRun, model: Any, ground: Ground, device: torch.device
    ) -> tuple[GivesProbabilities, Baseline | None]:
        """What forecasts, and the best baseline of the run, which the gain is over, if it is at hand."""
        best = ((run.result or {}).get("test") or {}).get("best_baseline")
        wanted = {self._forecaster, best} - {MODEL}
        known = {each.name: each for each in run.config.build("Train.baselines")}
        if missing := {self._forecaster} - {MODEL, *known}:
            raise EmprotError(f"Forecast.forecaster is {min(missing)!r}, expected model or one of {', '.join(known)}")
        chosen = fitted(run, [each for name, each in known.items() if name in wanted], ground.training)
        usable = {each.name: each for each in comparable(run, [model], chosen, ground)}
        forecaster = (
            ModelForecast([outputs_of(model)], device) if self._forecaster == MODEL else usable.get(self._forecaster)
        )
        if not isinstance(forecaster, GivesProbabilities):
            raise EmprotError(f"{self._forecaster} gives no probabilities here; take the model or another baseline")
        return forecaster, None if best in (None, self._forecaster) else usable.get(best)

    def _windows(
        self, run: StoredRun, ground: Ground, store: Store, horizon: int
    ) -> tuple[ScoredWindows, Iterator[Windows]]:
        if self._frames in ("test", "all"):
            return windows_of_split(ground.data, ground.split, store)
        frames: Any = self._frames
        return windows_at(ground.data, store, frames, run.input_frames, horizon)

    def _write_forecast(self, run: StoredRun, store: Store, windows: ScoredWindows, found: Collected) -> None:
        facts = {"run": self._directory, "forecaster": self._forecaster, "vocabulary": store.vocabulary.name}
        source = store.stores[0] if isinstance(store, JoinedStores) else store
        if f"{CLASS_IDS}.npy" in source.vocabulary_arrays:
            facts[CLASS_IDS] = source.array(CLASS_IDS).tolist()  # what the classes were called before
        write_forecast(
            self._output / "forecast.npz",
            windows.trajectory,
            windows.last_frame,
            found.probabilities,
            found.classes,
            windows.digest,
            num_clusters=store.vocabulary.num_clusters,
            units="probability",
            **facts,
        )

    def _write_structures(self, found: Collected, structures: Mapping[str, Any]) -> None:
        for name, structure in structures.items():
            if structure is None:
                _log.info("%s: no structure file, as the store does not know its residues", name)
                continue
            values = getattr(found.values[name].means(), self._colour)[0]
            coloured = Coloured(structure[0], structure[1], values, f"{TITLES[self._colour]}, h = 1, {name}")
            stem = re.sub(r"[^\w.-]", "_", name)
            for form in self._formats:
                path = self._output / f"{stem}.{'pdb' if form == 'pdb' else 'cif'}"
                (write_pdb if form == "pdb" else write_mmcif)(path, coloured)
                write_colours(path.with_suffix(".pml"), path, coloured)

    def _origins(self, found: Collected, store: Store, input_frames: int) -> Iterator[Origin]:
        """Where rollouts begin: before the first target, or after the last frame."""
        for name, row in found.rows.items():
            ids = store.ids(row)
            last = found.first_frames.get(name, len(ids) - 1) if self._frames == "test" else len(ids) - 1
            if not isinstance(self._frames, str):
                last = int(self._frames[0])
            past = np.array(ids[max(0, last + 1 - input_frames) : last + 1])
            record = store.index[row]
            yield Origin(row, last, Start(name, str(record["group"]), float(record["time_step_ns"]), past))
