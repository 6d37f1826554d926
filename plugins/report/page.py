"""The page: one HTML file that holds plotly, the figures, their numbers and every table."""

import base64
import gzip
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from html import escape
from importlib.resources import files
from typing import Any

from .figures import Figure


def plotly_javascript() -> str:
    """The library that draws, as it comes with the Python package of that name.

    Raises:
        ModuleNotFoundError: plotly is not installed.
    """
    try:
        from plotly.offline import get_plotlyjs
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("Report needs plotly; pip install 'emprot[report]'") from error
    return get_plotlyjs()


def fill(title: str, sections: Mapping[str, str], figures: Sequence[Figure], facts: Mapping[str, Any]) -> str:
    """The page.

    Args:
        sections: the HTML of each by its title.
        facts: JSON values that go into the page as they are, beside the figures.
    """
    whole = {**facts, "figures": [figure._asdict() for figure in figures]}
    numbers = json.dumps(whole, allow_nan=False, separators=(",", ":"))
    ids = {name: f"part-{i}" for i, name in enumerate(sections)}
    parts = {
        "title": escape(title),
        "style": _read("page.css"),
        "script": _read("page.js"),
        "links": "".join(f'<a href="#{ids[name]}">{escape(name)}</a>' for name in sections),
        "sections": "".join(
            f'<section aria-labelledby="{ids[name]}"><h2 id="{ids[name]}">{escape(name)}</h2>{text}</section>'
            for name, text in sections.items()
        ),
        "data": numbers.replace("<", "\\u003c"),  # so that no name can end the script element
        "plotly": _packed(plotly_javascript()),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], _read("page.html"))


def place(figure: Figure | None) -> str:
    """Where the page's script draws a figure."""
    if figure is None:
        return ""
    label = escape(f"{figure.title}. {figure.text}", quote=True)
    solid = any(trace["type"] == "scatter3d" for trace in figure.data)
    turn = f'<button type="button" data-turn="{figure.name}" aria-pressed="false">Turn</button>' if solid else ""
    height = figure.layout.get("height", 400)
    return (
        f"<figure><h3>{escape(figure.title)}</h3>"
        f'<div class="plot" id="{figure.name}" role="img" tabindex="0" aria-label="{label}" '
        f'style="min-height:{height}px"></div>'
        f'<figcaption>{escape(figure.text)}</figcaption><p class="buttons">{turn}'
        f'<button type="button" data-csv="{figure.name}">Numbers as CSV</button></p></figure>'
    )


def table(heads: Sequence[str], rows: Iterable[Sequence[Any]], caption: str = "") -> str:
    """A table whose numbers are shown with three digits behind the point; "-" stands for what is unknown."""
    head = "".join(f'<th scope="col">{escape(each)}</th>' for each in heads)
    body = "".join(
        "<tr>" + "".join(_cell(value, is_head=i == 0) for i, value in enumerate(row)) + "</tr>" for row in rows
    )
    told = f'<p class="caption">{escape(caption)}</p>' if caption else ""
    label = escape(caption or ", ".join(filter(None, heads)), quote=True)
    return (
        f'{told}<div class="wide" tabindex="0" role="region" aria-label="{label}"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def folded(title: str, content: str) -> str:
    """Something long that a click or the enter key opens."""
    return f"<details><summary>{escape(title)}</summary>{content}</details>"


def paragraph(text: str) -> str:
    return f"<p>{escape(text)}</p>"


def _cell(value: Any, is_head: bool) -> str:
    shown = "-" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)
    kind = ' class="number"' if isinstance(value, int | float) or value is None else ""
    return f'<th scope="row">{escape(shown)}</th>' if is_head else f"<td{kind}>{escape(shown)}</td>"


def _read(name: str) -> str:
    return files(__package__).joinpath(name).read_text()


@cache
def _packed(text: str) -> str:
    """Compressed, and as base64: two fifths of the size, in which it can be sent by mail."""
    return base64.b64encode(gzip.compress(text.encode(), 6, mtime=0)).decode()
