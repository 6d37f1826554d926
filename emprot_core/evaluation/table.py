"""The table at the end of a run: the model beside all baselines, as plain text."""

from collections.abc import Sequence
from typing import Any

from emprot_core.evaluation.scores import Scores

_HORIZONS_PER_TABLE = 4  # as many as fit into 100 columns


def format_scores(test: dict[str, Any], reference: str = "") -> str:
    """NLL, accuracy and gain over a baseline for every horizon, in blocks of four horizons.

    Args:
        test: {"model": Scores, "baselines": {name: Scores}}; "model" may be absent.
        reference: the name of that baseline. Without such a baseline, or if it has no NLL, the gain is left out.
    """
    rows: dict[str, Scores] = {"model": test["model"]} if "model" in test else {}
    rows |= test["baselines"]
    horizon = max(len(scores["accuracy"]) for scores in rows.values())
    starts = range(0, horizon, _HORIZONS_PER_TABLE)
    return "\n\n".join(_block(rows, reference, range(s, min(s + _HORIZONS_PER_TABLE, horizon))) for s in starts)


def _block(rows: dict[str, Scores], reference: str, steps: range) -> str:
    names = max(map(len, rows))
    bar = rows.get(reference, {}).get("nll_bits")
    titles = {"NLL, bits": 6, "accuracy": 6} | ({f"gain over {reference}, bits": 7} if bar else {})
    widths = [max(width, -(-len(title) // len(steps))) for title, width in titles.items()]
    heads = [title.center(width * len(steps)) for title, width in zip(titles, widths, strict=True)]
    horizons = ["".join(f"h={step + 1}".rjust(width) for step in steps) for width in widths]
    lines = [" ".join([" " * names, *cells]).rstrip() for cells in (heads, horizons)]
    for name, scores in rows.items():
        columns = [(scores["nll_bits"], ""), (scores["accuracy"], "")]
        if bar:
            columns.append((_gain(scores["nll_bits"], bar), "+"))
        cells = [_cells(values, steps, width, sign) for (values, sign), width in zip(columns, widths, strict=True)]
        lines.append(" ".join([name.ljust(names), *cells]))
    return "\n".join(lines)


def _gain(nll: Sequence[float | None] | None, reference: Sequence[float | None]) -> list[float | None] | None:
    """The bits saved at each horizon. Above 0 is better than the reference."""
    if nll is None:
        return None
    pairs = zip(nll, reference, strict=True)
    return [None if own is None or other is None else other - own for own, other in pairs]


def _cells(values: Sequence[float | None] | None, steps: range, width: int, sign: str) -> str:
    cells = []
    for step in steps:
        value = None if values is None else values[step]
        digits = 3 if value is None or abs(value) < 10 else 2
        cells.append(("-" if value is None else f"{value:{sign}.{digits}f}").rjust(width))
    return "".join(cells)
