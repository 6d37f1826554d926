"""Figures about single residues: tracks along the sequence, maps over the frames, and the CA trace."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from emprot_core.contracts import CATrace, SeenWindows

from .figures import COLOURS, GREY, Figure, plain

_LONGEST_BOND = 4.6  # Angstrom between CA atoms; further apart the chain is broken
_SHADES = [[0, "#3B6FD4"], [0.5, "#A05CB8"], [1, "#EC6A2C"]]
"""From still to changing: no shade is lost on white or on black."""
_CHANGE = "change probability"


def residue_names(num_residues: int, structure: CATrace | None) -> list[str]:
    """What residues are called: "ASP 95 A" where that is known, else their place from 0 on."""
    if structure is None:
        return [f"residue {place}" for place in range(num_residues)]
    fields = ("name", "number", "insertion_code", "chain")
    rows = zip(*(structure.residues[field].tolist() for field in fields), strict=True)
    return [f"{name} {number}{code} {chain}".strip() for name, number, code, chain in rows]


def tracks(name: str, number: int, seen: SeenWindows, nll: Mapping[str, np.ndarray], best: str | None) -> Figure:
    """Change probability of each residue at h = 1, and gain over the best baseline: means over frames."""
    names = residue_names(seen.changed.shape[2], seen.structure)
    x = list(range(len(names)))
    lines = {_CHANGE: _mean(seen.change_probability[0]), "change rate": _mean(seen.changed[0])}
    data = [
        _track(x, names, lines[_CHANGE], "expected to change", COLOURS[0]),
        _track(x, names, lines["change rate"], "did change", GREY, dash="dot"),
    ]
    lines |= {f"NLL of {each}, bits": bits[: len(names), 0] for each, bits in nll.items()}  # the rest is padding
    layout: dict[str, Any] = {
        "xaxis": {"title": {"text": "residue"}, **_ticks(seen)},
        "yaxis": {"title": {"text": "probability"}, "rangemode": "tozero"},
        "height": 320,
        "hovermode": "x unified",
    }
    text = (
        f"{seen.trajectory}, h = 1, the mean over frames: how often each residue is expected to leave its last class, "
        "and how often it did."
    )
    if best in nll and "model" in nll:
        lines["gain, bits"] = gain = lines[f"NLL of {best}, bits"] - lines["NLL of model, bits"]
        values, colours = plain(gain.astype(float), 4), np.where(gain > 0, COLOURS[2], COLOURS[1]).tolist()
        bar = {"type": "bar", "name": f"gain over {best}", "x": x, "y": values, "yaxis": "y2", "showlegend": False}
        data.append({**bar, "marker": {"color": colours, "line": {"width": 0}}, "hovertemplate": "gain %{y:+.2f} bits"})
        layout["xaxis"]["anchor"], layout["yaxis"]["domain"], layout["height"] = "y2", [0.5, 1], 480
        layout |= {"yaxis2": {"title": {"text": "gain, bits"}, "domain": [0, 0.4]}, "bargap": 0}
        text += f" Below: the gain over {best}; green is better."
    columns = {"residue": x, "name": names, **{key: plain(values.astype(float)) for key, values in lines.items()}}
    return Figure(f"tracks-{number}", f"Along the sequence: {name}", text, data, layout, columns)


def maps(name: str, number: int, seen: SeenWindows) -> Figure:
    """What came above what was expected, residue by frame, at h = 1."""
    came = ~np.isnan(seen.changed[0]).all(axis=1)
    frames = (seen.last_frame[came] + 1).tolist()
    x = list(range(seen.changed.shape[2]))
    panels = {"changed": seen.changed[0][came], _CHANGE: seen.change_probability[0][came]}
    data = [
        _heatmap(x, frames, panels["changed"], "came", "y"),
        _heatmap(x, frames, panels[_CHANGE], "forecast", "y2"),
    ]
    num_frames, num_residues = panels["changed"].shape
    columns: dict[str, list[Any]] = {
        "frame": np.repeat(frames, num_residues).tolist(),
        "residue": x * num_frames,
        **{key: plain(values.ravel(), 4) for key, values in panels.items()},
    }
    layout = {
        "xaxis": {"title": {"text": "residue"}, **_ticks(seen), "anchor": "y2"},
        "yaxis": {"title": {"text": "frame: came"}, "domain": [0.53, 1], "autorange": "reversed"},
        "yaxis2": {"title": {"text": "frame: forecast"}, "domain": [0, 0.47], "autorange": "reversed"},
        "coloraxis": {
            "colorscale": "Viridis",
            "cmin": 0,
            "cmax": 1,
            "colorbar": {"thickness": 12, "title": {"text": ""}},
        },
        "height": 520,
    }
    text = (
        f"{seen.trajectory}, h = 1. Above: bright where the class that came differs from the last one that was seen. "
        "Below: the probability that the model gave to that."
    )
    return Figure(f"maps-{number}", f"Truth and forecast: {name}", text, data, layout, columns)


def trace(name: str, number: int, seen: SeenWindows) -> Figure | None:
    """The CA trace, coloured by the change probability at h = 1; None if the structure is unknown."""
    if seen.structure is None or np.isnan(seen.structure.ca).all():
        return None
    ca, probability = seen.structure.ca.astype(float), _mean(seen.change_probability[0])
    names = residue_names(len(ca), seen.structure)
    whole = _along_the_chain(ca, seen.structure.residues["chain"])
    known = [None if i is None or np.isnan(probability[i]) else i for i in whole]
    colours = [0.0 if i is None else round(float(probability[i]), 4) for i in known]
    shades = {"color": colours, "colorscale": _SHADES, "cmin": 0, "cmax": max(1e-3, *colours)}
    bar = {"thickness": 12, "len": 0.7, "title": {"text": _CHANGE, "side": "right"}}
    told = ["" if i is None else f"{names[i]}: {probability[i]:.2f}" for i in known]
    data = [
        {**_chain(ca, whole), "line": {"width": 3, "color": GREY}, "hoverinfo": "skip", "mode": "lines"},
        {
            **_chain(ca, known),
            "line": {"width": 8, **shades},
            "marker": {"size": 3.5, "colorbar": bar, **shades},
            "hovertext": told,
            "hoverinfo": "text",
            "mode": "lines+markers",
        },
    ]
    hidden = {"visible": False}
    layout = {
        "scene": {"xaxis": hidden, "yaxis": hidden, "zaxis": hidden, "aspectmode": "data", "dragmode": "orbit"},
        "margin": {"l": 0, "r": 0, "t": 0, "b": 0},
        "height": 520,
        "showlegend": False,
    }
    columns = {"residue": names, **dict(zip("xyz", plain(ca.T), strict=True)), _CHANGE: plain(probability)}
    text = (
        f"The CA atoms of {seen.trajectory}, coloured by the probability that a residue leaves its last class in the "
        "next frame; grey without a forecast. Drag, or use the arrow keys, to turn it; point at a residue for its name."
    )
    element = "trace" if number == 0 else f"trace-{number}"
    return Figure(element, f"On the structure: {name}", text, data, layout, columns)


def _chain(ca: np.ndarray, places: list[int | None]) -> dict[str, Any]:
    xyz = {axis: plain([None if i is None else float(ca[i, k]) for i in places], 2) for k, axis in enumerate("xyz")}
    return {"type": "scatter3d", "name": "", **xyz}


def _along_the_chain(ca: np.ndarray, chain: np.ndarray) -> list[int | None]:
    """The places of all residues, with None wherever the chain is broken or another one begins."""
    gaps = np.linalg.norm(np.diff(ca, axis=0), axis=1)
    breaks = np.flatnonzero(~(gaps <= _LONGEST_BOND) | (chain[1:] != chain[:-1])) + 1
    places = np.insert(np.arange(len(ca)), breaks, -1).tolist()
    return [None if place < 0 else place for place in places]


def _track(x: list[int], names: list[str], values: np.ndarray, name: str, colour: str, **more: Any) -> dict[str, Any]:
    dash = more.pop("dash", "solid")
    hover = "%{text}: %{y:.2f}"
    line = {"color": colour, "width": 1.5, "dash": dash}
    drawn = {"x": x, "y": plain(np.asarray(values, float), 4), "text": names, "hovertemplate": hover, "line": line}
    return {"type": "scatter", "mode": "lines", "name": name, **drawn, **more}


def _heatmap(x: list[int], frames: list[int], values: np.ndarray, name: str, axis: str) -> dict[str, Any]:
    hover = f"frame %{{y}}, residue %{{x}}: %{{z}} ({name})<extra></extra>"
    drawn = {"x": x, "y": frames, "z": plain(values, 3), "hovertemplate": hover}
    return {"type": "heatmap", "name": name, "yaxis": axis, "coloraxis": "coloraxis", **drawn}


def _ticks(seen: SeenWindows) -> dict[str, Any]:
    """A few ticks of an axis of residues: their numbers in the chain, or else their places."""
    num_residues = seen.changed.shape[2]
    at = list(range(0, num_residues, max(1, num_residues // 6)))
    numbers = range(num_residues) if seen.structure is None else seen.structure.residues["number"].tolist()
    return {"tickangle": 0, "tickvals": at, "ticktext": [str(numbers[i]) for i in at]}


def _mean(values: np.ndarray) -> np.ndarray:
    """(N,) the mean over the windows (W, N), NaN where nothing is known."""
    known = ~np.isnan(values)
    return np.where(known, values, 0).sum(axis=0) / np.where(known.any(axis=0), known.sum(axis=0), np.nan)
