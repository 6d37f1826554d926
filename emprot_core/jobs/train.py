"""The main job: train, then score the best weights once on the test split, beside the baselines."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from emprot_core.conformance.data import check_data
from emprot_core.contracts import Baseline, Data, Score
from emprot_core.distributed import barrier, gather
from emprot_core.errors import EmprotError
from emprot_core.evaluation.beside_baselines import check_names, score_baselines
from emprot_core.evaluation.verdict import best_baseline
from emprot_core.jobs.banner import banner
from emprot_core.jobs.check_parts import check_parts
from emprot_core.jobs.conclude import details_of, log_test, score_test_split, tell_hooks
from emprot_core.jobs.context import RunContext, RunRefused
from emprot_core.jobs.counts import give_class_counts, give_transitions
from emprot_core.jobs.fitted_baselines import fit_or_load
from emprot_core.jobs.initial_weights import take_weights
from emprot_core.jobs.metrics_log import MetricsLog
from emprot_core.jobs.reporting import make_report
from emprot_core.jobs.run_directory import RunDirectory
from emprot_core.jobs.splits import check_proteins
from emprot_core.jobs.steps_log import StepsLog
from emprot_core.jobs.stores import stores_of
from emprot_core.registry import register
from emprot_core.training.stopping import DeviceOutOfMemory
from emprot_core.training.trainer import Trainer

_log = logging.getLogger("emprot")


@register("job")
class Train:
    """Trains a model, resuming from the newest valid checkpoint of the run directory, and writes result.json."""

    def __init__(
        self,
        trainer: Trainer,
        data: Data,
        baselines: Sequence[Baseline] = (),
        scores: Sequence[Score] = (),
        advice: str = "",
        report: bool = False,
    ):
        """
        Args:
            trainer: holds the model, the loss, the optimizer and the hooks.
            data: gives the train, validation and test batches.
            baselines: scored beside the model on the validation and the test split.
            scores: beyond NLL and accuracy, of the model and the baselines on the test split.
            advice: what to try if the model is not better than the best baseline; told before the verdict.
            report: write report.html when the run is finished (extra `report`); a failure is a warning.

        Raises:
            EmprotError: the model and the vocabulary differ in the number of classes, two baselines have one name, or
                the model knows single residues and meets a protein that training lacks.
        """
        check_data(data)
        model_clusters, clusters = trainer.num_clusters, data.vocabulary.num_clusters
        if model_clusters != clusters:
            raise EmprotError(
                f"the model has num_clusters = {model_clusters}, the vocabulary {data.vocabulary.name} has {clusters}; "
                f"bind NUM_CLUSTERS = {clusters}"
            )
        check_names(baselines)
        check_proteins(trainer.model, data)
        self.trainer, self.data, self.baselines, self.advice = trainer, data, list(baselines), advice
        self.scores, self.report = list(scores), report

    def run(self, context: RunContext) -> int:
        """Gives 0 when finished (now or before), and 130 or 143 when a signal ended it early.

        Raises:
            RunRefused: the directory is in use, or holds a run with another config.
        """
        with RunDirectory(context) as directory:
            self.trainer.run = directory.info(self.data.digest)
            self.trainer.hooks.emit("on_run_start", self.trainer)
            status = 0 if self._is_finished(directory) else self._train(context, directory)
            self.trainer.hooks.emit("on_run_end", self.trainer)
            return status

    def _train(self, context: RunContext, directory: RunDirectory) -> int:
        self._prepare(context, directory)
        _log.info(banner(self.trainer, self.data, context))
        self._fit_baselines(context, directory)
        try:
            self.trainer.fit(self.data.loader("train", seed=context.seed), self._validation_loader())
        except Exception as error:
            if isinstance(error, DeviceOutOfMemory):
                error.add_note(f"Train.data is {context.config.get('Train.data')}")
            self._record_failure(directory, error)
            raise
        barrier()  # wait until the last checkpoints are written
        directory.write_operative_config()
        return self._conclude(context, directory)

    def _is_finished(self, directory: RunDirectory) -> bool:
        if (earlier := directory.result()) is None or earlier["status"] != "finished":
            return False
        directory.check_unchanged(earlier, self.data.digest)
        if earlier["config_digest"] != directory.config_digest:
            return False
        _log.info("%s is finished: %s; see %s", directory.path, earlier["stop_reason"], directory.path / "result.json")
        directory.warn_of_lost_checkpoints()
        return True

    def _prepare(self, context: RunContext, directory: RunDirectory) -> None:
        give_class_counts(self.data, self.trainer.model, self.trainer.forward_loss.loss)
        if context.init_from is not None:
            take_weights(self.trainer.model, context.init_from)
        self.trainer.attach(
            self.trainer.run,
            MetricsLog(directory.path / "metrics.jsonl", directory.lock.check_held),
            StepsLog(directory.path),
        )
        self._go_on(directory)
        first = next(iter(self.data.all_windows("train")), None)  # None: no target is known, which the loader will say
        if first is not None:
            check_parts(self.trainer, self.data, self.baselines, self.scores, first)
        input_frames = 0 if first is None else first["input_cluster_ids"].shape[1]
        directory.begin(stores_of(self.data, directory.path), input_frames)

    def _go_on(self, directory: RunDirectory) -> None:
        """Continue from the newest valid checkpoint, which must be the same on every rank."""
        newest = directory.checkpoints.newest_valid()
        steps = gather(newest[1]["step"] if newest is not None else None)
        if len(set(steps)) > 1:
            raise RunRefused(
                f"the ranks see checkpoints of unlike steps in {directory.path}: {steps}; "
                "run.directory must lie on a file system that all of them share"
            )
        if newest is None:
            directory.check_nothing_is_lost()
            give_transitions(self.data, self.trainer.model)
        else:
            path, state = newest
            directory.check_unchanged(state, self.data.digest)
            self.trainer.load_state_dict(state)
            _log.info("going on from %s (step %d)", path, state["step"])

    def _validation_loader(self) -> Any:
        return self.data.loader("validation") if self.data.num_windows("validation") else None

    def _conclude(self, context: RunContext, directory: RunDirectory) -> int:
        stop = self.trainer.stop
        if stop is not None and stop.exit_status:
            directory.write_result(self._result("preempted", stop.reason))
            _log.info("%s at step %d; the same command goes on from there", stop.reason, self.trainer.step)
            return stop.exit_status
        scored = score_test_split(self.trainer, self.baselines, self.data, context.device, directory.path, self.scores)
        tell_hooks(self.trainer, scored, self.data, context.device, self.baselines)
        reason = stop.reason if stop is not None else f"{self.trainer.epoch} epochs, {self.trainer.step} steps"
        details = details_of(scored, self.trainer, self.data, directory.path, context.config.files[0])
        directory.write_result({**self._result("finished", reason), **details})
        if self.report:
            make_report(directory.path, context)
        log_test(scored.step, directory.path / "result.json", self.trainer, reason, self.advice)
        return 0

    def _fit_baselines(self, context: RunContext, directory: RunDirectory) -> None:
        """Fit the baselines, or load them, and tell the hooks how they score on the validation split."""
        if not self.baselines:
            return
        fitted_for = f"{directory.config_digest} {self.data.digest}"
        fit_or_load(self.baselines, self.data, directory.path / "baselines", fitted_for)
        if self.data.num_windows("validation"):
            horizon = self.trainer.future_horizon
            scores = score_baselines(self.baselines, self.data, horizon, "validation", context.device)
            best = best_baseline(scores)
            if best is not None:
                self.trainer.run = replace(self.trainer.run, bar_nll_bits=scores[best]["nll_bits"])
                _log.info("the best baseline on the validation split is %s", best)

    def _record_failure(self, directory: RunDirectory, error: Exception) -> None:
        try:
            directory.write_result(self._result("failed", f"{type(error).__name__}: {error}"))
        except OSError as another:
            _log.warning("%s; result.json does not tell of the failure", another)

    def _result(self, status: str, reason: str) -> dict[str, Any]:
        return {
            "status": status,
            "stop_reason": reason,
            "epoch": self.trainer.epoch,
            "global_step": self.trainer.step,
            "best": self.trainer.best,
            "data_digest": self.data.digest,
        }
