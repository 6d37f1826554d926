"""A job that scores a finished run again."""

import json
import logging
from pathlib import Path
from typing import Any

from emprot_core.contracts import Split
from emprot_core.distributed import rank
from emprot_core.evaluation.beside_baselines import score_beside_baselines
from emprot_core.evaluation.table import format_scores
from emprot_core.evaluation.token_scores import SCORE_VERSION
from emprot_core.evaluation.verdict import verdict_line
from emprot_core.files import write_atomically
from emprot_core.jobs.conclude import write_token_scores
from emprot_core.jobs.context import RunContext
from emprot_core.jobs.fitted_baselines import fit_or_load
from emprot_core.jobs.forward import outputs_of
from emprot_core.jobs.load import load_run
from emprot_core.registry import register

_log = logging.getLogger("emprot")


@register("job")
class Evaluate:
    """Scores the best weights of a run and its baselines on the run's data, into evaluation.json of the run.

    The scores of another split than test go into evaluation-<split>.json.
    """

    def __init__(self, run_directory: str, split: Split = "test"):
        self.run_directory = run_directory
        self.split: Split = split

    def run(self, context: RunContext) -> None:
        loaded = load_run(self.run_directory)
        result = Path(self.run_directory) / "result.json"
        is_finished = result.is_file() and json.loads(result.read_text())["status"] == "finished"
        if not is_finished:
            _log.warning("%s is not finished: the best weights so far are scored", self.run_directory)
        model: Any = loaded.model.to(context.device)
        baselines = loaded.config.build("Train.baselines")
        data = loaded.config.build("Train.data")
        directory = Path(self.run_directory)
        fit_or_load(baselines, data, directory / "baselines", f"{loaded.config.digest()} {data.digest}", keep=False)
        scores, tokens = score_beside_baselines(
            outputs_of(model), baselines, data, model.future_horizon, context.device, self.split
        )
        if self.split != "test" or not is_finished:  # those of a finished run are there, under its own hash
            write_token_scores(tokens, data, self.split, directory)
        name = "evaluation" if self.split == "test" else f"evaluation-{self.split}"
        path = Path(self.run_directory) / f"{name}.json"
        record = {"split": self.split, "data_digest": data.digest, "score_version": SCORE_VERSION, **scores}
        if rank() == 0:
            write_atomically(path, f"{json.dumps(record, indent=1)}\n".encode())
        shown = [each.name for each in baselines if getattr(each, "always_shown", False)]
        table = format_scores(scores, shown)
        _log.info("%s, %s split:\n\n%s\n\n%s", self.run_directory, self.split, table, path)
        _log.info("%s", verdict_line(scores))
