"""The job that a plugin's own CI calls: every part of a module is tried on the embedded sample, without training."""

import inspect
import logging
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from emprot_core.breach import check_method, title
from emprot_core.config import Config, ConfigError, load
from emprot_core.conformance.blame import explain
from emprot_core.errors import EmprotError
from emprot_core.jobs.check_parts import check_training
from emprot_core.jobs.context import RunContext, RunRefused
from emprot_core.registry import Entry, entries, register

_log = logging.getLogger("emprot")
_MODEL = "ProteinTransformerClassificationOnly"
_TRAINING = {
    "model": "Trainer.model = {new}",
    "loss": "Trainer.loss = {new}",
    "metric": "Trainer.metrics = [{new}]",
    "optimizer": "Trainer.optimizer = {name}",
    "scheduler": "Trainer.scheduler = {name}",
    "hook": "Trainer.extra_hooks = [{new}]",
    "baseline": "Train.baselines = [{new}]",
    "score": "Train.scores = [{new}]",
    "data": "Train.data = {new}",
    "split": "TrajectoryWindows.split = {new}",
    "mixing": f"{_MODEL}.mixing = {{new}}",
    "attention": f"{_MODEL}.attention = {{name}}",
}
"""What binds a part of each kind in debug.gin."""
_SIZES = {"num_clusters": "%NUM_CLUSTERS", "future_horizon": "%FUTURE_HORIZON"}
_METHODS = {"reader": ("read", "path"), "job": ("run", "context"), "launcher": ("submit", "command", "directory")}
_PREPARED = {
    "tokenizer": "Prepare.tokenizers = [{new}]",
    "executor": "Prepare.executor = {new}\nPrepare.tokenizers = [@tokenizers.protein_blocks()]",
}


@register("job")
class CheckPlugin:
    """Tries every component of a plugin on the embedded sample, and tells which ones keep the contract of their kind.

    Models, losses and the like see a first batch of debug.gin, experts one of experts.gin, and tokenizers and executors
    encode the sample. Of readers, jobs and launchers only the methods are looked at. Nothing is trained or left.
    """

    def __init__(self, module: str, bindings: Sequence[str] = ()):
        """
        Args:
            module: a module, or a package with all its modules.
            bindings: gin text that the components need: ["losses.Mine.alpha = 2.0"].
        """
        self._module, self._bindings = module, list(bindings)

    def run(self, context: RunContext) -> int:
        """Gives 1 if a component breaks its contract.

        Raises:
            RunRefused: the module registers nothing.
        """
        found = [entry for entry in entries() if _is_in(entry.target.__module__, self._module)]
        if not found:
            raise RunRefused(f"{self._module} registers no component; decorate one with @register(kind)")
        faults = [fault for entry in found if (fault := self._fault_of(entry, context))]
        for fault in faults:
            _log.error("error: %s", fault)
        _log.info("%d of %d components keep their contracts", len(found) - len(faults), len(found))
        return 1 if faults else 0

    def _fault_of(self, entry: Entry, context: RunContext) -> str:
        try:
            self._check(entry, context)
        except ConfigError as error:
            return f"{title(entry.target)} could not be built; bind what it needs by CheckPlugin.bindings\n{error}"
        except EmprotError as error:
            return "\n  ".join([str(error), *getattr(error, "__notes__", ())])
        except Exception as error:
            if (text := explain(error)) is None:
                raise
            return text
        return ""

    def _check(self, entry: Entry, context: RunContext) -> None:
        if entry.kind in _TRAINING:
            check_training(self._config("debug.gin", _TRAINING[entry.kind], entry))
        elif entry.kind == "expert":
            check_training(self._config("experts.gin", "GatedExperts.experts = [{new}]", entry))
        elif entry.kind in _PREPARED:
            self._prepare(entry, context)
        elif entry.kind in _METHODS:
            name, *arguments = _METHODS[entry.kind]
            made = entry.target if inspect.isclass(entry.target) else entry.target()
            check_method(made, name, *(["self"] if made is entry.target else []), *arguments)

    def _prepare(self, entry: Entry, context: RunContext) -> None:
        with tempfile.TemporaryDirectory() as folder:
            place = [f"Prepare.output = {folder!r}", "Prepare.num_workers = 1", "Prepare.fit_on = ['*']"]
            config = self._config("prepare_sample.gin", _PREPARED[entry.kind], entry, *place)
            config.build("run.job").run(replace(context, config=config, directory=Path(folder)))

    def _config(self, file: str, binding: str, entry: Entry, *more: str) -> Config:
        name = f"@{entry.short_selector}"
        small = ["Train.baselines = []"] if file != "prepare_sample.gin" and entry.kind != "baseline" else []
        bound = binding.format(name=name, new=f"{name}()")
        return load([file], [*small, *more, bound, *_sizes_of(entry), *self._bindings], allow_unused=True)


def _sizes_of(entry: Entry) -> Iterator[str]:
    """What a model needs to know, if its constructor asks for it."""
    for name, value in _SIZES.items() if entry.kind == "model" else ():
        if name in inspect.signature(entry.target).parameters:
            yield f"{entry.short_selector}.{name} = {value}"


def _is_in(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")
