"""The hooks of a trainer, called at each event that they define."""

import logging
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from emprot_core.breach import broken, check_takes
from emprot_core.checkpoint import CheckpointError
from emprot_core.errors import EmprotError
from emprot_core.hooks.base import EVENTS, Hook, TrainerView

_log = logging.getLogger("emprot")


class HookList:
    """Calls the hooks of a trainer. An event that no hook defines costs only an empty loop."""

    def __init__(self, hooks: Iterable[Hook]):
        """
        Raises:
            ContractBroken: one is no Hook, or an event of it takes something else than the trainer.
        """
        self.hooks = list(hooks)
        for hook in self.hooks:
            if not isinstance(hook, Hook):
                got = f"a {type(hook).__name__} that is none"
                raise broken(hook, "a hook", got, "derive the class from emprot_core.Hook")
            for event in (*EVENTS, "scalars"):
                if hasattr(hook, event):
                    check_takes(hook, getattr(hook, event), event, "trainer")
        self._handlers = {e: [getattr(h, e) for h in self.hooks if hasattr(type(h), e)] for e in EVENTS}

    def emit(self, event: str, trainer: TrainerView) -> None:
        for handler in self._handlers[event]:
            try:
                handler(trainer)
            except Exception as error:
                if not isinstance(error, EmprotError):
                    error.add_note(f"in {event} of the hook {type(handler.__self__).__name__}")
                raise

    def tell_exception(self, trainer: TrainerView) -> None:
        """Emit on_exception to every hook. An error in a hook is only logged, so it does not hide the first one."""
        for handler in self._handlers["on_exception"]:
            try:
                handler(trainer)
            except Exception as another:
                _log.warning("%s, while ending after another error", another)

    def scalars(self, trainer: TrainerView) -> dict[str, float]:
        found: dict[str, float] = {}
        for hook in self.hooks:
            if not isinstance(own := hook.scalars(trainer), dict):
                raise broken(hook, "scalars() to give a dict of numbers by name", own, "return {} if there is nothing")
            found |= own
        return found

    def state_dict(self) -> dict[str, dict[str, Any]]:
        """The state of every hook, by its class name and its number among the hooks of that class."""
        return {key: hook.state_dict() for key, hook in self._keyed()}

    def load_state_dict(self, states: dict[str, dict[str, Any]]) -> None:
        """Restore every hook that has state.

        Raises:
            CheckpointError: the checkpoint lacks the state of a hook, or part of it.
        """
        for key, hook in self._keyed():
            if key not in states and hook.state_dict():
                raise CheckpointError(
                    f"the checkpoint has no state for the hook {key}, only for {', '.join(states) or 'none'}; "
                    "go on with the hooks it was written with"
                )
            try:
                hook.load_state_dict(states.get(key, {}))
            except KeyError as lacking:
                raise CheckpointError(f"the checkpoint lacks {lacking} of the hook {key}") from lacking

    def _keyed(self) -> list[tuple[str, Hook]]:
        seen: dict[str, int] = defaultdict(int)
        keyed = []
        for hook in self.hooks:
            name = type(hook).__name__
            keyed.append((f"{name}.{seen[name]}", hook))
            seen[name] += 1
        return keyed
