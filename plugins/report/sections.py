"""The sections of a report that are words and tables."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from emprot_core.evaluation.verdict import verdict_line
from emprot_core.jobs.compare_text import format_comparison
from emprot_core.words import first_of

from .figures import shown_horizons
from .page import folded, paragraph, table
from .run_facts import RunFacts

_SCORES = {"nll_bits": "NLL", "accuracy": "accuracy", "accuracy_changed": "accuracy*"}


def verdict(runs: Sequence[RunFacts]) -> str:
    """A sentence for each run, and the gain that it rests on."""
    told = []
    for run in runs:
        word = "" if run.test is None else run.test["verdict"]
        told.append(f'<p><strong>{escape(run.name)}</strong>: <span class="{word}">{escape(_verdict(run))}</span></p>')
    return f'<div id="verdict">{"".join(told)}</div>'


def scores(run: RunFacts) -> str:
    """The test scores of the model and of every baseline, the lowest NLL first."""
    if run.test is None:
        return ""
    model = run.test["model"]
    horizons = shown_horizons(len(model["accuracy"]))
    known = sorted(run.test["baselines"].items(), key=lambda pair: sum(b or 0 for b in pair[1]["nll_bits"] or [1e9]))
    rows = [
        [name, *(None if own[key] is None else own[key][step] for key in _SCORES for step in horizons)]
        for name, own in [(f"model {run.name}", model), *known]
    ]
    heads = [f"{told} h={step + 1}" for told in _SCORES.values() for step in horizons]
    caption = f"Test scores of {run.name}. NLL in bits, lower is better; * where the class changed."
    return table(["", *heads], rows, caption)


def differences(comparison: Mapping[str, Any] | str) -> str:
    """What --compare says; or why it says nothing."""
    if isinstance(comparison, str):
        return paragraph(f"The runs cannot be compared: {comparison}.")
    return f"<pre>{escape(format_comparison(comparison))}</pre>"


def making(run: RunFacts, sources: Sequence[Mapping[str, Any]]) -> str:
    """How a run was made: splits, data and licences, versions, the command that repeats it, and its config."""
    result = run.result
    parts = [f"<h3>{escape(run.name)}</h3>", paragraph("This command repeats the run:")]
    command = f"emprot-run --gin_file={run.directory}/config.gin run.directory={run.directory}-again"
    parts.append(f"<pre>{escape(command)}</pre>")
    if "splits" in result:
        rows = [[split, _proteins(groups)] for split, groups in result["splits"].items()]
        parts.append(table(["split", "proteins, and the frames that may be targets"], rows, "Splits"))
    if sources:
        heads = list(dict.fromkeys(key for source in sources for key in source))
        parts.append(
            table(heads, [[_text(source.get(key)) for key in heads] for source in sources], "Data and licences")
        )
    told = {**result.get("versions", {}), **{f"code: {key}": value for key, value in result.get("code", {}).items()}}
    told |= {key: result[key] for key in ("stop_reason", "config_digest", "data_digest") if key in result}
    parts.append(table(["", "value"], [[key, _text(value)] for key, value in told.items()], "Versions"))
    rows = [[name, own["value"], own["origin"]] for name, own in run.settings.items()]
    parts.append(
        folded(f"Every setting of {run.name}, and where it comes from", table(["setting", "value", "from"], rows))
    )
    parts.append(folded(f"config.gin of {run.name}", f"<pre>{escape(run.config)}</pre>"))
    return "".join(parts)


def _verdict(run: RunFacts) -> str:
    if run.test is None:
        state = run.result.get("status", "unfinished")
        return f"no verdict, as the run is {state}" if state != "finished" else "no verdict, as it has no test windows"
    told = verdict_line(run.test).removeprefix("verdict: ")
    gain = run.test["gains"].get(run.test["best_baseline"])
    if gain is None:
        return f"{told}."
    ends = sorted({0, len(gain["bits"]) - 1})
    return f"{told}. Gain in bits: " + ", ".join(_gain(gain, step) for step in ends) + "; above 0 the model is better."


def _gain(gain: Mapping[str, Any], step: int) -> str:
    bits, low, high = (gain[key][step] for key in ("bits", "low", "high"))
    if bits is None:
        return f"h={step + 1} unknown"
    told = f"h={step + 1} {bits:+.3f}" + ("" if low is None else f" [{low:+.3f}, {high:+.3f}]")
    return told.replace(" ", "\u00a0").replace("-", "\u2212")  # a line never ends within the numbers


def _proteins(groups: Mapping[str, Mapping[str, int]]) -> str:
    return first_of([f"{group} ({counts['frames']} frames)" for group, counts in groups.items()]) or "nothing"


def _text(value: Any) -> str:
    return "-" if value is None else str(value)
