"""The table at the end of a run: the model beside all baselines, as plain text."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from emprot_core.evaluation.scores import Scores
from emprot_core.evaluation.verdict import best_baseline

_IN_THE_TABLE = ("nll_bits", "accuracy", "accuracy_changed")
_HORIZONS_PER_TABLE = 4  # as many as fit into 100 columns
Values = Sequence[float | None] | None


def format_scores(test: Mapping[str, Any], always_shown: Sequence[str] = ()) -> str:
    """NLL, accuracy and the gain over the best baseline for every horizon, in blocks of four horizons.

    Below them the gain of the model stands with its interval, horizon by horizon, if `test` holds gains.

    Args:
        test: {"model": Scores, "baselines": {name: Scores}} and what `judge` adds; "model" may be absent, and
            "forecasts" may hold the same of others that are judged.
        always_shown: baselines over which the gain has a column too.
    """
    rows: dict[str, Scores] = {"model": test["model"]} if "model" in test else {}
    forecasts = test.get("forecasts", {})
    rows |= {name: each["model"] for name, each in forecasts.items()} | test["baselines"]
    best = best_baseline(test["baselines"])
    bars = [name for name in dict.fromkeys([best, *always_shown]) if name in rows and rows[name]["nll_bits"]]
    horizon = max(len(scores["accuracy"]) for scores in rows.values())
    blocks = []
    for start in range(0, horizon, _HORIZONS_PER_TABLE):
        steps = range(start, min(start + _HORIZONS_PER_TABLE, horizon))
        own = {"NLL, bits": "nll_bits", "accuracy": "accuracy"}
        blocks.append(_block({title: {n: rows[n][key] for n in rows} for title, key in own.items()}, steps, 6))
        if bars:
            rated = [name for name in rows if rows[name]["nll_bits"]]
            gains = {
                f"gain over {bar}, bits": {n: _gain(rows[n]["nll_bits"], rows[bar]["nll_bits"]) for n in rated}
                for bar in bars
            }
            blocks.append(_block(gains, steps, 7, sign="+"))
    gained = [
        _gain_lines(who, name, each["gains"][name], name == best)
        for who, each in {"the model": test, **forecasts}.items()
        for name in bars
        if name in each.get("gains", {})
    ]
    further = [_further({name: rows[name] for name in rows if name in ("model", *forecasts, best)}, horizon)]
    return "\n\n".join([*blocks, *filter(None, further), *gained, *_sample_lines(test)])


def _sample_lines(test: Mapping[str, Any]) -> Iterator[str]:
    """How much of the split was scored, and how near the NLL of all its windows is, if it was a sample."""
    if (sampled := test.get("sampled")) is None:
        return
    own = sampled["nll_bits"].get("model", {"low": [], "high": []})
    widths = [(high - low) / 2 for low, high in zip(own["low"], own["high"], strict=True) if low is not None]
    near = f"; over all of them the NLL of the model is within {max(widths):.3f} bits of this (95 %)" if widths else ""
    yield f"scored on {sampled['windows']:,} of {sampled['of']:,} windows, spread evenly over the split{near}"


def _block(columns: Mapping[str, Mapping[str, Values]], steps: Sequence[int], least_width: int, sign: str = "") -> str:
    """A row for each forecaster, or score; columns: by title the values [F] by row."""
    rows = list(next(iter(columns.values())))
    names = max(map(len, rows))
    widths = [max(least_width, -(-len(title) // len(steps))) for title in columns]
    heads = [title.center(width * len(steps)) for title, width in zip(columns, widths, strict=True)]
    horizons = ["".join(f"h={step + 1}".rjust(width) for step in steps) for width in widths]
    lines = [" ".join([" " * names, *cells]).rstrip() for cells in (heads, horizons)]
    for name in rows:
        cells = [_cells(values[name], steps, w, sign) for values, w in zip(columns.values(), widths, strict=True)]
        lines.append(" ".join([name.ljust(names), *cells]))
    return "\n".join(lines)


def _further(rows: Mapping[str, Scores], horizon: int) -> str:
    """What else was scored, a line for each score: the first and the last horizon of a few forecasters."""
    names = dict.fromkeys(key for scores in rows.values() for key in scores if key not in _IN_THE_TABLE)
    numbers = [name for name in names if all(_is_number(scores.get(name)) for scores in rows.values())]
    columns = {title: {name: scores[name] for name in numbers} for title, scores in rows.items()}
    return _block(columns, sorted({0, horizon - 1}), 8) if numbers else ""


def _is_number(values: Sequence[Any] | None) -> bool:
    return values is not None and all(value is None or isinstance(value, int | float) for value in values)


def _gain_lines(who: str, name: str, gain: Mapping[str, Any], is_best: bool) -> str:
    """The gain over one baseline with its 95 % interval, a line for each horizon, or for each protein."""
    what = ", the best baseline" if is_best else ""
    lines = [f"gain of {who} over {name}{what}, in bits, with its 95 % interval:"]
    if "num_proteins" in gain:
        lines[0] += f" (the mean over {gain['num_proteins']} proteins, each of which counts once)"
    if "proteins" not in gain:
        return "\n".join([*lines, *_intervals(gain, " " * 2)])
    lines[0] += " (each protein has its own; a common one needs six)"
    for protein, own in gain["proteins"].items():
        lines += [f"  {protein}", *_intervals(own, " " * 4)]
    return "\n".join(lines)


def _intervals(gain: Mapping[str, Any], indent: str) -> list[str]:
    return [
        f"{indent}h={step}  {_number(bits)}  " + ("no interval" if low is None else f"[{low:+.3f}, {high:+.3f}]")
        for step, (bits, low, high) in enumerate(zip(gain["bits"], gain["low"], gain["high"], strict=True), 1)
    ]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:+.3f}"


def _gain(nll: Values, reference: Sequence[float | None]) -> Values:
    """The bits saved at each horizon. Above 0 is better than the reference."""
    assert nll is not None
    pairs = zip(nll, reference, strict=True)
    return [None if own is None or other is None else other - own for own, other in pairs]


def _cells(values: Values, steps: Sequence[int], width: int, sign: str) -> str:
    cells = []
    for step in steps:
        value = None if values is None else values[step]
        digits = 3 if value is None or abs(value) < 10 else 2
        cells.append(("-" if value is None else f"{value:{sign}.{digits}f}").rjust(width))
    return "".join(cells)
