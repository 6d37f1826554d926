"""What a model or loss is told of the training data before a training: class counts and transitions."""

import itertools
from typing import Any

from emprot_core.contracts import CountsTransitions, Data, UsesClassCounts, UsesTransitions
from emprot_core.jobs.context import RunRefused

_STEPS_FOR_SCALES = 16  # training batches from which a model with tables takes the scale of its inputs


def give_class_counts(data: Data, *components: Any) -> None:
    """Tell the components that want them the class counts."""
    for component in components:
        if isinstance(component, UsesClassCounts):
            component.use_class_counts(data.class_counts())


def give_transitions(data: Data, model: Any) -> None:
    """Tell a model with tables the training transitions; its state keeps the tables from then on.

    Raises:
        RunRefused: the data cannot count transitions.
    """
    if not isinstance(model, UsesTransitions):
        return
    if not isinstance(data, CountsTransitions):
        raise RunRefused(
            f"{type(model).__name__} needs the transitions of the training frames, which {type(data).__name__} cannot "
            "count; take other data, or give that class a method transitions()"
        )
    steps = data.all_windows("train").steps(0, 0, 1)
    windows = itertools.chain.from_iterable(itertools.islice(steps, _STEPS_FOR_SCALES))
    model.use_transitions(data.transitions(model.max_lag), windows)
