"""The job that runs one config with many values."""

from collections.abc import Callable, Sequence
from typing import Literal

from emprot_core.command_line import config_of
from emprot_core.config import Config
from emprot_core.errors import EmprotError
from emprot_core.jobs.context import RunContext
from emprot_core.jobs.launch import launcher_of, run_command
from emprot_core.jobs.settings import SEED
from emprot_core.registry import register

from .groups import groups_of
from .ledger import FREE, Ledger, Trial
from .summary import summarize
from .values import Space, draw, grid, overrides, parse
from .worker import Worker

LEFT_OUT, SPLIT = "LeaveOut.test", "TrajectoryWindows.split=@splits.LeaveOut()"


@register("job")
class Sweep:
    """Runs a command of emprot-run once for each of many values, several at a time, and no trial twice.

    Trials lie in run.directory as trial-0, trial-1 and so on. The same command goes on with a sweep after anything, and
    started several times, here or on machines that share the directory, it shares the trials out.
    """

    starts_runs = True
    """A launcher starts this job as it is, and this job the ranks of each trial."""

    def __init__(
        self,
        arguments: Sequence[str],
        values: Sequence[str] = (),
        repeat: str | None = None,
        search: Literal["grid", "random", "tpe"] = "grid",
        num_trials: int | None = None,
        num_jobs: int = 1,
        seed: int = 0,
        prune: bool = False,
        storage: str | None = None,
    ):
        """
        Args:
            arguments: of every trial, as on a command line: ["--gin_file=base.gin", "Trainer.max_epochs=3"].
            values: what differs: ["adamw.learning_rate=[1e-4, 3e-4]", "adamw.weight_decay=log(1e-3, .1)"].
            repeat: "seeds=5" for the seeds 0 to 4, or "groups" to leave out one protein after the other.
            search: "grid" takes all combinations; "random" and "tpe" (Optuna, extra `sweep`) take num_trials.
            num_trials: how many trials "random" and "tpe" take in all.
            num_jobs: trials at a time in this process.
            seed: of the search.
            prune: end a trial early whose validation loss is above the median of the others (extra `sweep`).
            storage: a database of Optuna that gets every finished trial, for its dashboard (extra `sweep`).

        Raises:
            EmprotError: there is nothing to vary, or values and search do not go together.
        """
        self._space, fixed = parse(values)
        self._arguments, self._repeat = [*arguments, *fixed, *([SPLIT] if repeat == "groups" else [])], repeat
        self._search, self._seed, self._storage = search, seed, storage
        self._num_jobs, self._prune = num_jobs, prune
        if search != "grid" and num_trials is None:
            raise EmprotError(f"search = {search!r} needs num_trials; add --trials 20, or Sweep.num_trials=20")
        if not self._space and repeat is None:
            raise EmprotError("the sweep has no values; write for example 'adamw.learning_rate=[1e-4, 3e-4]'")
        self._num_trials = num_trials
        self._values, self._checked = list(values), set[int]()

    def run(self, context: RunContext) -> int:
        """Work on the trials until all have ended, and write summary.json, summary.txt and best.gin.

        Raises:
            ConfigError: a trial has a wrong config; nothing was run.
            EmprotError: another sweep lies in the directory.
        """
        base = config_of(self._arguments)
        space = {**self._space, **self._repeated(base)}
        plan = {
            "arguments": self._arguments,
            "values": self._values,
            "repeat": self._repeat,
            "search": self._search,
            "seed": self._seed,
            "config": base.flat(),
        }
        make_suggest = self._suggest(space)  # before the ledger, so that a sweep that is refused leaves nothing behind
        ledger = Ledger(context.directory, plan)
        suggest = make_suggest(ledger)
        launcher = launcher_of(context.config)
        command = run_command if launcher is None else launcher.command
        start = lambda arguments: command([*self._arguments, *arguments])  # noqa: E731
        worker = Worker(ledger, start, self._num_jobs, self._pruner(space, ledger))
        status = worker.run(lambda taken: self._next(ledger, suggest, taken), lambda: self._is_done(ledger))
        if status == 0:
            with ledger.alone():
                self._tell(space, ledger)
                summarize(ledger, self._config_of, (SEED, LEFT_OUT))
        return status

    def _tell(self, space: Space, ledger: Ledger) -> None:
        if self._storage is not None:
            from .tpe import tell

            tell(self._storage, str(ledger.directory), space, ledger)

    def _config_of(self, values: dict[str, str]) -> Config:
        return config_of([*self._arguments, *overrides(values)])

    def _repeated(self, base: Config) -> Space:
        """The values that `repeat` stands for."""
        if self._repeat is None:
            return {}
        what, _, count = self._repeat.partition("=")
        if what == "seeds" and count.isdigit() and int(count) > 0:
            return parse([f"{SEED}={list(range(int(count)))}"])[0]
        if self._repeat == "groups":
            return parse([f"{LEFT_OUT}={[[group] for group in groups_of(base)]}"])[0]
        raise EmprotError(f"repeat is {self._repeat!r}, expected 'seeds=5' or 'groups'")

    def _suggest(self, space: Space) -> Callable[[Ledger], Callable[[int], dict[str, str]]]:
        """From the ledger and a trial's number to its values. All configs that are known beforehand are checked."""
        if self._search == "tpe":
            from .tpe import Tpe

            self._check([draw(space, self._seed, 0)])
            return lambda ledger: Tpe(space, ledger, self._seed)
        if self._search == "grid":
            combinations = grid(space)
            self._num_trials = len(combinations)
        else:
            assert self._num_trials is not None
            combinations = [draw(space, self._seed, number) for number in range(self._num_trials)]
        self._check(combinations)
        return lambda ledger: combinations.__getitem__

    def _check(self, combinations: Sequence[dict[str, str]]) -> None:
        seen: dict[str, int] = {}
        for number, values in enumerate(combinations):
            digest = self._config_of(values).digest()
            if digest in seen and self._search == "grid":
                raise EmprotError(
                    f"the trials {seen[digest]} and {number} have the same config: {', '.join(overrides(values))}; "
                    "give each value once"
                )
            seen[digest] = number

    def _next(self, ledger: Ledger, suggest: Callable[[int], dict[str, str]], taken: set[int]) -> Trial | None:
        """The first trial that is free and not taken, entered into the ledger if it is new."""
        assert self._num_trials is not None
        known = {trial.number: trial for trial in ledger.trials()}
        for number in range(self._num_trials):
            if number in taken:
                continue
            trial = known.get(number)
            if trial is None:
                values = suggest(number)
                trial = ledger.add(number, values, self._config_of(values).digest())
            if ledger.state(trial) == FREE:
                self._check_unchanged(trial)
                return trial
        return None

    def _check_unchanged(self, trial: Trial) -> None:
        if trial.number in self._checked:
            return
        self._checked.add(trial.number)
        if self._config_of(trial.values).digest() != trial.digest:
            raise EmprotError(
                f"the config of {trial.directory} is another one than when it was entered: a gin file or a plugin "
                "changed; take the change back, or bind another run.directory"
            )

    def _is_done(self, ledger: Ledger) -> bool:
        trials = ledger.trials()
        return len(trials) == self._num_trials and all(ledger.state(trial) != FREE for trial in trials)

    def _pruner(self, space: Space, ledger: Ledger) -> Callable[[Trial], str | None] | None:
        if not self._prune:
            return None
        from .tpe import MedianPruning

        return MedianPruning(space, ledger)
