"""What tests of jobs.Report read from its page."""

import json
import re
from pathlib import Path
from typing import Any


def facts_of(page: Path) -> dict[str, Any]:
    """The JSON values that a page holds: runs, comparison, figures."""
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page.read_text(), re.DOTALL)
    return json.loads(text)


def figures_of(page: Path) -> dict[str, dict[str, Any]]:
    """The figures by their name."""
    return {figure["name"]: figure for figure in facts_of(page)["figures"]}


def ids_of(page: Path) -> list[str]:
    """The id of every element."""
    return re.findall(r'\sid="([^"]+)"', page.read_text())
