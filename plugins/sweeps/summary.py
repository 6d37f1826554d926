"""What came out of a sweep: one table, and the config of the best trial."""

import logging
from collections.abc import Callable, Collection, Sequence
from statistics import mean, stdev
from typing import Any

from emprot_core.config import Config
from emprot_core.evaluation.comparison import MODEL, ModelScores, difference, read_model_scores
from emprot_core.files import write_atomically, write_hashed_json
from emprot_core.jobs.settings import SEED, TOKEN_SCORES

from .ledger import FINISHED, Ledger, Trial
from .values import overrides

_log = logging.getLogger("emprot")


def summarize(ledger: Ledger, config_of: Callable[[dict[str, str]], Config], repeats: Collection[str]) -> None:
    """Write summary.json, summary.txt and best.gin, and log the table.

    Args:
        repeats: names of bindings that repeat a recipe, such as the seed.
    """
    trials = ledger.trials()
    finished = [trial for trial in trials if ledger.state(trial) == FINISHED]
    results = {trial.number: ledger.result(trial) for trial in finished}
    recipes: dict[str, list[Trial]] = {}
    for trial in finished:
        recipes.setdefault(_recipe(trial, repeats), []).append(trial)
    rows = [_row(name, own, results) for name, own in recipes.items()]
    rows.sort(key=lambda row: float("inf") if row["validation"] is None else row["validation"]["mean"])
    ended = [{"trial": trial.number, **ledger.why(trial)} for trial in trials if trial not in finished]
    write_hashed_json(ledger.directory / "summary.json", {"recipes": rows, "without_result": ended})
    table = "\n".join([*_table(rows), *(f"trial {e['trial']} is {e['state']}: {e['why']}" for e in ended)])
    write_atomically(ledger.directory / "summary.txt", f"{table}\n".encode())
    _log.info("\n%s\n", table)
    losses = {t.number: loss for t in finished if (loss := _validation(results[t.number])) is not None}
    if losses:
        best = next(trial for trial in finished if trial.number == min(losses, key=losses.__getitem__))
        path = ledger.directory / "best.gin"
        told = f"{best.directory.name}, {', '.join(overrides(best.values))}"
        head = f"# The trial with the lowest validation loss: {told}"
        write_atomically(path, f"{head}\n\n{config_of(best.values).text()}".encode())
        _log.info("the lowest validation loss has trial %d; its config: %s", best.number, path)


def _recipe(trial: Trial, repeats: Collection[str]) -> str:
    return ", ".join(f"{name}={text}" for name, text in trial.values.items() if name not in repeats) or "the config"


def _row(name: str, own: Sequence[Trial], results: dict[int, dict[str, Any]]) -> dict[str, Any]:
    """What is known of a recipe: means and standard deviations over its trials, and the gain with its interval."""
    tests = [test for trial in own if (test := results[trial.number].get("test")) is not None]
    row: dict[str, Any] = {"recipe": name, "trials": [trial.number for trial in own], "gain": None, "nll_bits": None}
    row["validation"] = _mean_and_sd([loss for t in own if (loss := _validation(results[t.number])) is not None])
    if len(tests) < len(own):
        return row
    by_horizon = list(zip(*(test["model"]["nll_bits"] for test in tests), strict=True))
    row["nll_bits"] = [_mean_and_sd([bits for bits in each if bits is not None]) for each in by_horizon]
    known = [{n for n, scores in test["baselines"].items() if scores["nll_bits"]} for test in tests]
    common = sorted(set.intersection(*known)) if known else []
    if not common:
        return row
    best = min(
        common, key=lambda n: mean(b for test in tests for b in test["baselines"][n]["nll_bits"] if b is not None)
    )
    seeds: dict[str, list[Trial]] = {}  # trials of one seed that leave out one protein after the other
    for trial in own:
        seeds.setdefault(trial.values.get(SEED, ""), []).append(trial)
    sides = [
        [_joined([read_model_scores(t.directory / TOKEN_SCORES, who) for t in each]) for each in seeds.values()]
        for who in (best, MODEL)
    ]
    return {**row, "gain": {"over": best, **difference(sides[0], sides[1], is_paired=True)}}


def _joined(scores: Sequence[ModelScores]) -> ModelScores:
    """The scores of trials that were tested on different proteins, as if they were one."""
    return scores[0]._replace(proteins={name: own for each in scores for name, own in each.proteins.items()})


def _validation(result: dict[str, Any]) -> float | None:
    return result.get("best", {}).get("val/total_loss")


def _mean_and_sd(values: Sequence[float]) -> dict[str, float | None] | None:
    if not values:
        return None
    return {"mean": mean(values), "sd": stdev(values) if len(values) > 1 else None}


def _table(rows: Sequence[dict[str, Any]]) -> list[str]:
    """One line for each recipe, and below a recipe that left out proteins one for each of them."""
    lines = [["recipe", "trials", "val loss", "test NLL h1, bits", "hF", "gain h1, bits", "hF", "over"]]
    for row in rows:
        nll, gain = row["nll_bits"] or [None], row["gain"]
        over = "-" if gain is None else gain["over"]
        ends = [_spread(row["validation"]), _spread(nll[0]), _spread(nll[-1]), _interval(gain, 0), _interval(gain, -1)]
        lines.append([row["recipe"], str(len(row["trials"])), *ends, over])
        for name, own in (gain or {}).get("proteins", {}).items():
            lines.append([f"  {name}", "", "", "", "", _interval(own, 0), _interval(own, -1), ""])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    note = "Means over the trials, with their standard deviation in brackets; gains with their 95 % interval."
    return [*("  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in lines), note]


def _spread(value: dict[str, Any] | None) -> str:
    if value is None:
        return "-"
    return f"{value['mean']:.3f}" + ("" if value["sd"] is None else f" ({value['sd']:.3f})")


def _interval(gain: dict[str, Any] | None, step: int) -> str:
    if gain is None or gain["bits"][step] is None:
        return "-"
    low, high = gain["low"][step], gain["high"][step]
    return f"{gain['bits'][step]:+.3f}" + ("" if low is None else f" [{low:+.3f}, {high:+.3f}]")
