"""Suggestions and pruning by Optuna. It only suggests: what was done stands in the ledger.

Every study is made anew from that, so that no process that dies leaves anything behind.
"""

from typing import Any

from .ledger import FINISHED, PRUNED, Ledger, Trial
from .values import Choices, Range, Space
from .worker import validation_losses


class Tpe:
    """The tree-structured Parzen estimator (Bergstra et al. 2011) on the lowest validation loss."""

    def __init__(self, space: Space, ledger: Ledger, seed: int):
        self._space, self._ledger, self._seed = space, ledger, seed
        self._optuna = _import()

    def __call__(self, number: int) -> dict[str, str]:
        """The values of a trial, from all that were entered before it. They are the same as long as those are."""
        sampler = self._optuna.samplers.TPESampler(seed=(self._seed * 100_003 + number) % 2**32, constant_liar=True)
        study = self._optuna.create_study(sampler=sampler)
        study.add_trials(_known(self._optuna, self._space, self._ledger))
        asked = study.ask(_distributions(self._optuna, self._space))
        return {name: text_of(own, asked.params[name]) for name, own in self._space.items()}


class MedianPruning:
    """Ends a trial whose validation loss is above the median of the others at that step, after five finished ones."""

    def __init__(self, space: Space, ledger: Ledger):
        self._space, self._ledger = space, ledger
        self._optuna = _import()
        self._pruner = self._optuna.pruners.MedianPruner()

    def __call__(self, trial: Trial) -> str | None:
        study = self._optuna.create_study(pruner=self._pruner)
        study.add_trials(_known(self._optuna, self._space, self._ledger))
        losses = validation_losses(trial)
        frozen = self._optuna.trial.create_trial(
            state=self._optuna.trial.TrialState.RUNNING, intermediate_values=losses
        )
        if not losses or not self._pruner.prune(study, frozen):
            return None
        step = max(losses)
        return f"its validation loss {losses[step]:.4f} at step {step} is above the median of the other trials"


def tell(storage: str, name: str, space: Space, ledger: Ledger) -> None:
    """Enter every trial that ended into a study of that name, once, for Optuna's own tools."""
    optuna = _import()
    study = optuna.create_study(storage=storage, study_name=name, load_if_exists=True)
    known = {trial.user_attrs.get("trial") for trial in study.get_trials(deepcopy=False)}
    for trial in _known(optuna, space, ledger):
        if trial.state.is_finished() and trial.user_attrs["trial"] not in known:
            study.add_trial(trial)


def text_of(values: Choices | Range, value: Any) -> str:
    """A value that Optuna suggests, as gin text."""
    return value if isinstance(values, Choices) else repr(value)


def _known(optuna: Any, space: Space, ledger: Ledger) -> list[Any]:
    """The trials of the ledger as Optuna's: complete, pruned, failed or running."""
    distributions, found = _distributions(optuna, space), []
    states = {FINISHED: "COMPLETE", PRUNED: "PRUNED", "failed": "FAIL"}
    for trial in ledger.trials():
        losses = validation_losses(trial)
        state = states.get(ledger.state(trial), "RUNNING")
        value = ledger.result(trial).get("best", {}).get("val/total_loss") if state == "COMPLETE" else None
        if state == "COMPLETE" and value is None:
            state = "FAIL"  # without a validation there is nothing to compare
        params = {name: own if isinstance(space[name], Choices) else float(own) for name, own in trial.values.items()}
        whole = {
            n: int(v) if isinstance(own := space[n], Range) and own.kind == "int" else v for n, v in params.items()
        }
        found.append(
            optuna.trial.create_trial(
                state=optuna.trial.TrialState[state],
                value=value,
                params=whole,
                distributions=distributions,
                intermediate_values=losses,
                user_attrs={"trial": trial.number, "directory": str(trial.directory)},
            )
        )
    return found


def _distributions(optuna: Any, space: Space) -> dict[str, Any]:
    made = {}
    for name, values in space.items():
        if isinstance(values, Choices):
            made[name] = optuna.distributions.CategoricalDistribution(values.texts)
        elif values.kind == "int":
            made[name] = optuna.distributions.IntDistribution(int(values.low), int(values.high))
        else:
            made[name] = optuna.distributions.FloatDistribution(values.low, values.high, log=values.kind == "log")
    return made


def _import() -> Any:
    try:
        import optuna
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("search 'tpe', prune and storage need Optuna; pip install 'emprot[sweep]'") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
