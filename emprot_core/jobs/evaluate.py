"""A job that judges runs again, and anybody's forecasts beside them."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from emprot_core.contracts import Baseline, Forecaster, Score
from emprot_core.distributed import rank
from emprot_core.errors import EmprotError
from emprot_core.evaluation.beside_baselines import Judged, check_names, score_beside_baselines
from emprot_core.evaluation.breakdown import as_csv, by_group, by_residue
from emprot_core.evaluation.forecast import MODEL, ModelForecast
from emprot_core.evaluation.forecast_file import ForecastFile
from emprot_core.evaluation.further_scores import tell_of_data
from emprot_core.evaluation.scored_windows import group_names
from emprot_core.evaluation.table import format_scores
from emprot_core.evaluation.temperature import fit_temperatures
from emprot_core.evaluation.token_scores import SCORE_VERSION
from emprot_core.evaluation.verdict import verdict_line
from emprot_core.files import write_atomically
from emprot_core.jobs.context import RunContext
from emprot_core.jobs.forward import outputs_of
from emprot_core.jobs.judging import Ground, Part, as_list, check_alike, comparable, find_ground, fitted
from emprot_core.jobs.load import StoredRun
from emprot_core.jobs.stores import directories_of
from emprot_core.registry import register

_log = logging.getLogger("emprot")


@register("job")
class Evaluate:
    """Scores the best weights of a run, or of several as one, beside the run's baselines, on its data or on others.

    It writes evaluation.json and evaluation.csv into a folder, and temperature.json where asked for; nothing else.
    """

    def __init__(
        self,
        run: str | Sequence[str],
        store: str | Sequence[str] | None = None,
        trajectories: Sequence[str] | None = None,
        split: Part = "test",
        every_window: bool = False,
        output: str | None = None,
        baselines: Sequence[Baseline] | None = None,
        scores: Sequence[Score] = (),
        forecasts: str | Sequence[str] = (),
        temperature: bool = False,
    ):
        """
        Args:
            run: the directory of a run; or several, whose mean probability is judged. The first gives data and
                baselines.
            store: the path of a store, or several, of the run's vocabulary: where the run's own stores lie now, or
                others; None means the run's own.
            trajectories: names or patterns of trajectories; None means those of the run or, of other stores, all.
            split: the part to score; "all" scores every frame, those of the training too.
            every_window: score all windows where the config scores a sample (TrajectoryWindows.max_eval_windows).
            output: the folder to write into; None means the run.
            baselines: others than those of the run. What the run did not keep is fitted on its training windows.
            scores: beyond NLL and accuracy.
            forecasts: paths of files that evaluation.forecast_format describes, each judged like the model.
            temperature: divide the logits by a temperature for each horizon, fitted on the validation split of the
                run and kept in temperature.json.

        Raises:
            EmprotError: no run is given, or several and no output.
        """
        self._directories = as_list(run)
        if not self._directories or (len(self._directories) > 1 and output is None):
            raise EmprotError(
                f"Evaluate.run is {run!r} and Evaluate.output {output!r}, expected one run, or several and an output"
            )
        self._store, self._trajectories, self._part, self._every_window = store, trajectories, split, every_window
        self._output = Path(self._directories[0] if output is None else output)
        self._baselines, self._scores, self._forecasts = baselines, list(scores), as_list(forecasts)
        self._temperature = temperature

    def run(self, context: RunContext) -> None:
        """
        Raises:
            EmprotError: a run cannot be read or judged on these data, or a forecast is not about them.
        """
        runs = [StoredRun(directory) for directory in self._directories]
        ground = find_ground(runs[0], self._store, self._trajectories, self._part, self._every_window)
        models: list[Any] = [run.model().to(context.device) for run in runs]
        check_alike(runs, models, ground, as_list(self._store))
        for run in runs:
            if run.result is None:
                _log.warning("%s is not finished: the best weights so far are scored", run.directory)
        baselines = fitted(runs[0], self._baselines, ground.training)
        rivals = comparable(runs[0], models, baselines, ground)
        forwards = [outputs_of(model) for model in models]
        horizon = models[0].future_horizon
        temperatures = self._temperatures(ModelForecast(forwards, context.device), horizon, runs, ground)
        forecasts = [ForecastFile(path, ground.data, ground.split) for path in self._forecasts]
        judged: list[Forecaster] = [ModelForecast(forwards, context.device, temperatures), *forecasts]
        check_names([*baselines, *forecasts])
        tell_of_data(self._scores, ground.data, ground.training)
        scores = score_beside_baselines(
            judged, rivals, ground.data, horizon, context.device, ground.split, self._scores
        )
        record = self._record(scores, ground, [each.name for each in forecasts], temperatures)
        if rank() == 0:
            self._write(record, scores, ground)
        self._log(record, rivals)

    def _temperatures(
        self, model: ModelForecast, horizon: int, runs: Sequence[StoredRun], ground: Ground
    ) -> list[float] | None:
        """The temperatures that an earlier evaluation of the same weights kept, or new ones."""
        if not self._temperature:
            return None
        path = self._output / "temperature.json"
        fitted_for = [f"{run.fitted_for} step {run.state['step']}" for run in runs]
        if path.is_file() and (kept := json.loads(path.read_text()))["fitted_for"] == fitted_for:
            return kept["temperatures"]
        if ground.training is None or not ground.training.num_windows("validation"):
            raise EmprotError(
                "Evaluate.temperature needs the validation split of the run, which is empty or not at hand; "
                "bind it to False"
            )
        temperatures = fit_temperatures(model, ground.training.loader("validation"), horizon)
        if rank() == 0:
            record = {"temperatures": temperatures, "fitted_for": fitted_for}
            write_atomically(path, f"{json.dumps(record, indent=1)}\n".encode())
        return temperatures

    def _record(
        self, scores: Judged, ground: Ground, forecasts: Sequence[str], temperatures: list[float] | None
    ) -> dict[str, Any]:
        data, split = ground.data, ground.split
        groups = group_names(data, split)
        test = scores.test()
        shown = [name for name in (MODEL, test["best_baseline"]) if name in scores.tokens.names]
        others = {name: scores.test(name) for name in forecasts}
        return {
            "runs": self._directories,
            "split": self._part,
            "stores": directories_of(data),
            "data_digest": data.digest,
            "windows_digest": scores.tokens.digest(data, split),
            "score_version": SCORE_VERSION,
            "temperatures": temperatures,
            **test,
            "forecasts": {n: {k: v for k, v in test.items() if k != "baselines"} for n, test in others.items()},
            "by_group": by_group(scores.tokens, groups),
            "by_residue": by_residue(scores.tokens, groups, shown),
        }

    def _write(self, record: dict[str, Any], scores: Judged, ground: Ground) -> None:
        table = as_csv(scores.tokens, group_names(ground.data, ground.split))
        write_atomically(self._output / "evaluation.csv", table.encode())
        write_atomically(self._output / "evaluation.json", f"{json.dumps(record, indent=1)}\n".encode())

    def _log(self, record: dict[str, Any], baselines: Sequence[Baseline]) -> None:
        shown = [each.name for each in baselines if getattr(each, "always_shown", False)]
        path = self._output / "evaluation.json"
        table = format_scores(record, shown)
        _log.info("%s, %s split:\n\n%s\n\n%s", ", ".join(self._directories), self._part, table, path)
        for name, forecast in record["forecasts"].items():
            _log.info("%s: %s", name, verdict_line(forecast))
        _log.info("%s", verdict_line(record))
