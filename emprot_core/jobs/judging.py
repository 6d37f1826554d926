"""What a judgement of runs rests on: the data that are scored, those of the training, and the fitted baselines."""

import logging
from collections.abc import Collection, Sequence
from typing import Any, Literal, NamedTuple

from torch import nn

from emprot_core.contracts import Baseline, Data, ReadsStores, Split
from emprot_core.data.store import StoreError
from emprot_core.data.windows import AllFrames
from emprot_core.errors import EmprotError
from emprot_core.evaluation.beside_baselines import applicable, unseen_groups
from emprot_core.evaluation.scored_windows import group_names
from emprot_core.jobs.fitted_baselines import fit_or_load, load_kept
from emprot_core.jobs.load import StoredRun
from emprot_core.jobs.splits import describe_splits, refuse_unseen
from emprot_core.jobs.stores import are_stores_of, vocabularies_of

_log = logging.getLogger("emprot")
Part = Literal["train", "validation", "test", "all"]


class Ground(NamedTuple):
    """The data that are scored."""

    data: Data
    split: Split
    training: Data | None  # the data that the run was trained on; None where they are not at hand
    is_own: bool  # whether a split of the run itself is scored


def find_ground(
    run: StoredRun,
    store: str | Sequence[str] | None,
    trajectories: Sequence[str] | None,
    part: Part,
    every_window: bool = False,
) -> Ground:
    """The data of a run, or others of its vocabulary.

    Args:
        store: other stores, which may be those of the run in another place; None means those of the run.
        trajectories: names or patterns; None means those of the run or, of other stores, all.
        every_window: whether all windows are scored where the config scores a sample of them.

    Raises:
        StoreError: a store is missing, or the stores have another vocabulary than the run.
    """
    given: dict[str, Any] = {} if trajectories is None else {"trajectories": trajectories}
    if part == "all":
        given["split"] = AllFrames()
    is_own = not given
    if every_window:
        given["max_eval_windows"] = None
    split: Split = "test" if part == "all" else part
    if store is None or are_stores_of(run.stores, as_list(store)):
        training = run.data(as_list(store))
        return Ground(run.data(as_list(store), **given) if given else training, split, training, is_own)
    data = run.data(**{"trajectories": None, "weights": None, **given, "store": store})
    _check_vocabulary(run, data)
    try:
        return Ground(data, split, run.data(), False)
    except StoreError as error:
        _log.info("the training data are not at hand: %s", error)
        return Ground(data, split, None, False)


def as_list(store: str | Sequence[str] | None) -> list[str]:
    """One path, several or none, as a list."""
    return [] if store is None else [store] if isinstance(store, str) else list(store)


def fitted(run: StoredRun, baselines: Sequence[Baseline] | None, training: Data | None) -> list[Baseline]:
    """The baselines of a run, as it kept them; those that it did not keep are fitted on its training windows.

    Args:
        baselines: others than those of the run.

    Raises:
        EmprotError: one has to be fitted, and the training data are not at hand.
    """
    chosen = list(run.config.build("Train.baselines") if baselines is None else baselines)
    folder = run.directory / "baselines"
    if training is not None:
        fit_or_load(chosen, training, folder, run.fitted_for, keep=False)
        return chosen
    kept = load_kept(chosen, folder, run.fitted_for)
    if missing := [each.name for each in chosen if each.name not in kept]:
        raise EmprotError(
            f"{', '.join(missing)}: not kept in {folder}, and cannot be fitted, as the training data are not at hand; "
            "bring them back, or bind Evaluate.baselines to others"
        )
    return chosen


def comparable(
    run: StoredRun, models: Sequence[nn.Module], baselines: Sequence[Baseline], ground: Ground
) -> list[Baseline]:
    """The baselines that can forecast what is scored.

    Raises:
        EmprotError: a model knows single residues, and what is scored has a protein that training lacks.
    """
    unseen = unseen_groups(ground.data, ground.split, _training_groups(run, ground.training))
    for model in models:
        refuse_unseen(model, unseen, ground.split)
    return applicable(baselines, unseen, ground.split)


def check_alike(runs: Sequence[StoredRun], models: Sequence[Any], ground: Ground, places: Sequence[str]) -> None:
    """
    Raises:
        EmprotError: the models forecast unlike classes or horizons, or one was trained on what another is scored on.
    """
    sizes = [(model.num_clusters, model.future_horizon) for model in models]
    for run, size in zip(runs[1:], sizes[1:], strict=True):
        what = ""
        if size != sizes[0]:
            what = f"(num_clusters, future_horizon) is {sizes[0]} and {size}"
        elif vocabularies_of(run.stores) != vocabularies_of(runs[0].stores):
            what = "their vocabularies differ"
        elif ground.is_own and describe_splits(run.data(places)) != describe_splits(ground.data):
            what = "their splits differ, so that one may know what the other is scored on"
        if what:
            raise EmprotError(f"{runs[0].directory} and {run.directory} cannot be averaged: {what}; give runs alike")


def _training_groups(run: StoredRun, training: Data | None) -> Collection[str]:
    if training is not None:
        return set(group_names(training, "train").values())
    if run.result is None:
        raise EmprotError(f"{run.directory} is not finished, and its training data are not at hand; bring them back")
    return run.result["splits"]["train"]


def _check_vocabulary(run: StoredRun, data: Data) -> None:
    wanted = vocabularies_of(run.stores)
    for place in data.places_of_stores() if isinstance(data, ReadsStores) and wanted else ():
        if place.vocabulary_digest not in wanted:
            raise StoreError(
                f"{place.directory} has another vocabulary than {run.directory} was trained on; prepare the store "
                "with the tokenizer of that run (what was fitted for one store has classes of its own)"
            )
