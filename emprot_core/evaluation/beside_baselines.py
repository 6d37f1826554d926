"""Scores a model and the baselines that it must beat, on the same targets."""

import logging
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import torch

from emprot_core.conformance.baselines import check_names as check_each_has_a_name
from emprot_core.contracts import Baseline, Data, Forecaster, SampledWindows, SamplesWindows, Score, Split
from emprot_core.errors import EmprotError
from emprot_core.evaluation.forecast import MODEL
from emprot_core.evaluation.further_scores import FurtherScores
from emprot_core.evaluation.intervals import ends, of_sample
from emprot_core.evaluation.scored_windows import group_names
from emprot_core.evaluation.scores import Scores, score
from emprot_core.evaluation.token_scores import MAX_NUMBERS, TokenScores
from emprot_core.evaluation.verdict import judge
from emprot_core.words import first_of

_log = logging.getLogger("emprot")


def check_names(baselines: Sequence[Forecaster]) -> None:
    """Raise EmprotError if two baselines have the same name, or one is named `model`."""
    check_each_has_a_name(baselines)
    names = [MODEL, *(baseline.name for baseline in baselines)]
    if twice := {name for name in names if names.count(name) > 1}:
        raise EmprotError(f"two forecasters are named {min(twice)!r}; list each baseline once, under its own name")


def samples_of(data: Data) -> Mapping[str, SampledWindows]:
    """The splits of which a part of the windows is scored or, of training, is what baselines are fitted on."""
    return data.sampled() if isinstance(data, SamplesWindows) else {}


def fit(baseline: Baseline, data: Data) -> None:
    """Fit a baseline on the training (and validation) windows, or the data's sample of them, alike on every rank.

    Raises:
        EmprotError: the training split has no windows.
    """
    validation = data.all_windows("validation") if data.num_windows("validation") else ()
    baseline.fit(data.all_windows("train"), validation, data.vocabulary.num_clusters)


def unseen_groups(data: Data, split: Split, seen: Collection[str] | None = None) -> list[str]:
    """The proteins of a split that training has no frame of; `seen`: those of training, by default of the data."""
    known = set(group_names(data, "train").values()) if seen is None else seen
    return [name for name in group_names(data, split).values() if name not in known]


def applicable(baselines: Sequence[Baseline], unseen: Sequence[str], split: str) -> list[Baseline]:
    """The baselines that can forecast a split. Those that know only proteins of training are left out, and logged.

    Args:
        unseen: the proteins of the split that training has no frame of.
    """
    left_out = [each for each in baselines if unseen and getattr(each, "same_protein", False)]
    if left_out:
        names = ", ".join(each.name for each in left_out)
        _log.info("%s: left out of the %s split, as training has no frame of %s", names, split, first_of(unseen))
    return [each for each in baselines if each not in left_out]


def score_baselines(
    baselines: Sequence[Baseline], data: Data, horizon: int, split: Split = "test", device: torch.device | None = None
) -> dict[str, Scores]:
    """The scores on a split of baselines that are fitted, by name. Ranks exchange sums on `device`."""
    chosen = applicable(baselines, unseen_groups(data, split), split)
    return score({each.name: each.predict for each in chosen}, data.loader(split), horizon, device)


class Judged(NamedTuple):
    """The scores of forecasters beside baselines, the NLL of every token, and what the verdict on each rests on."""

    scores: dict[str, Scores]  # by forecaster
    tokens: TokenScores  # those of the first that is judged
    verdicts: dict[str, dict[str, Any]]  # what `judge` gives, by the name of the one that is judged
    sample: SampledWindows | None = None  # None if all windows of the split were scored

    def test(self, name: str = MODEL) -> dict[str, Any]:
        """What result.json holds under "test", in JSON values: {"model": Scores, "baselines": {name: Scores}, ...}.

        Of a sample, "sampled" says how many windows it has, and where the NLL of all windows lies.
        """
        others = {each: scores for each, scores in self.scores.items() if each not in self.verdicts}
        sampled = {} if self.sample is None else {"sampled": self._of_sample(self.sample)}
        return {MODEL: self.scores[name], "baselines": others, **self.verdicts[name], **sampled}

    def _of_sample(self, sample: SampledWindows) -> dict[str, Any]:
        counts = self.tokens.counts.T
        intervals = {
            name: ends([of_sample(*each, sample.of) for each in zip(sums.T, counts, strict=True)])
            for name, sums in self.tokens.frame_sums.items()
        }
        return {**sample._asdict(), "nll_bits": intervals}


def score_beside_baselines(
    judged: Sequence[Forecaster],
    baselines: Sequence[Baseline],
    data: Data,
    horizon: int,
    device: torch.device,
    split: Split = "test",
    further: Sequence[Score] = (),
) -> Judged:
    """Score forecasters, of which the first is the model as a rule, and baselines that are fitted, in one pass.

    Args:
        baselines: those that can forecast the split (see `applicable`).
        further: scores beyond NLL and accuracy, of every forecaster that gives probabilities.
    """
    forecasters: dict[str, Forecaster] = {each.name: each for each in (*baselines, *judged)}
    tokens = [TokenScores(each.name, MAX_NUMBERS if each is judged[0] else 0) for each in judged]
    beyond = FurtherScores(further, forecasters, data.vocabulary.num_clusters, horizon)
    predict = {name: each.predict for name, each in forecasters.items()}
    scores = score(predict, data.loader(split), horizon, device, tokens, beyond)
    groups, verdicts = group_names(data, split), {}
    for each in tokens:
        each.merge()
        rivals = {name: own for name, own in scores.items() if name == each.model or name not in _names(judged)}
        verdicts[each.model] = judge(each, rivals, groups)
    return Judged(scores, tokens[0], verdicts, samples_of(data).get(split))


def _names(forecasters: Sequence[Forecaster]) -> list[str]:
    return [each.name for each in forecasters]
