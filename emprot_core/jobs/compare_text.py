"""A comparison of runs as a person reads it."""

from collections.abc import Mapping, Sequence
from typing import Any

_HORIZONS_PER_TABLE = 4


def format_comparison(comparison: Mapping[str, Any]) -> str:
    """The groups, the settings that differ, the scores of each group, and the differences with their intervals."""
    groups = comparison["groups"]
    blocks = [_groups(groups), _settings(comparison), _table(groups)]
    blocks += [_difference(each) for each in comparison["differences"]]
    return "\n\n".join(filter(None, [*blocks, comparison["note"]]))


def _groups(groups: Sequence[Mapping[str, Any]]) -> str:
    lines = []
    for group in groups:
        seeds = f"  ({len(group['seeds'])} seeds: {', '.join(group['seeds'])})" if len(group["seeds"]) > 1 else ""
        lines.append(f"{group['name']}  {', '.join(group['runs'])}{seeds}")
    return "\n".join(lines)


def _settings(comparison: Mapping[str, Any]) -> str:
    names = [group["name"] for group in comparison["groups"]]
    if len(names) == 1:
        return "settings: identical but for run.seed" if len(comparison["groups"][0]["runs"]) > 1 else ""
    lines = [_setting(each) for each in comparison["settings"]]
    for what in ("code", "data"):
        if comparison[what]:
            told = [_code(value) if what == "code" else value[:12] for value in comparison[what]]
            lines.append(f"  {what}: {_side_by_side(told)}")
    if not lines:
        return "settings: identical"
    return "\n".join([f"what differs: {_side_by_side(names)}", *lines])


def _setting(difference: Mapping[str, Any]) -> str:
    pairs = zip(difference["values"], difference["origins"], strict=True)
    return f"  {difference['name']}: " + _side_by_side(["-" if v is None else f"{v} ({origin})" for v, origin in pairs])


def _side_by_side(texts: Sequence[str]) -> str:
    return (" -> " if len(texts) == 2 else " | ").join(texts)


def _code(code: Mapping[str, Any]) -> str:
    dirty = " with changes" if code["dirty"] else ""
    return f"{code['version']} {(code['commit'] or 'no commit')[:12]}{dirty}"


def _table(groups: Sequence[Mapping[str, Any]]) -> str:
    """NLL and accuracy of each group, in blocks of four horizons. Of several seeds the mean (sd) is shown."""
    horizon = len(groups[0]["nll_bits"]["mean"])
    width = 15 if any(len(group["runs"]) > 1 for group in groups) else 8
    tables = []
    for key, title in (("nll_bits", "NLL, bits"), ("accuracy", "accuracy")):
        for start in range(0, horizon, _HORIZONS_PER_TABLE):
            steps = range(start, min(start + _HORIZONS_PER_TABLE, horizon))
            lines = [f"{title:<10}" + "".join(f"h={step + 1}".rjust(width) for step in steps)]
            for group in groups:
                cells = [_cell(group[key]["mean"][step], group[key]["sd"][step], width) for step in steps]
                lines.append(f"{group['name']:<10}" + "".join(cells))
            tables.append("\n".join(lines))
    return "\n\n".join(tables)


def _cell(value: float | None, sd: float | None, width: int) -> str:
    text = "-" if value is None else f"{value:.3f}" if sd is None else f"{value:.3f} ({sd:.4f})"
    return text.rjust(width)


def _difference(each: Mapping[str, Any]) -> str:
    reference, other = each["reference"], each["other"]
    lines = [f"NLL({reference}) - NLL({other}) in bits with its 95 % interval; above 0 {other} is better:"]
    if "num_proteins" in each:
        lines[0] += f" (the mean over {each['num_proteins']} proteins, each of which counts once)"
    if "proteins" in each:
        lines[0] += " (each protein has its own; a common one needs six)"
        for name, own in each["proteins"].items():
            lines += [f"  {name}", *_horizons(own, "    ")]
    else:
        lines += _horizons(each, "  ")
    word = {"better": "is better than", "worse": "is worse than"}.get(each["verdict"])
    told = [f"h={h} {w}" for h, w in enumerate(each["verdict_by_horizon"], 1) if w != "undecided"]
    details = f" ({', '.join(told)})" if told else ""
    verdict = f"{other} {word} {reference} at every horizon" if word else f"undecided between the two{details}"
    return "\n".join([*lines, verdict])


def _horizons(each: Mapping[str, Any], indent: str) -> list[str]:
    lines = []
    for step, (bits, low, high) in enumerate(zip(each["bits"], each["low"], each["high"], strict=True), 1):
        number = "-" if bits is None else f"{bits:+.3f}"
        lines.append(f"{indent}h={step}  {number}  " + ("no interval" if low is None else f"[{low:+.3f}, {high:+.3f}]"))
    return lines
