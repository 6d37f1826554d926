"""The sources of the site: the pages of docs/, what else the repository has to read, and what the code tells."""

import os
import re
import shutil
from pathlib import Path

from pages import DOCS, ROOT
from pages.components import component_pages, index_page
from pages.gallery import gallery_page
from pages.listings import command_line_page, gin_files_page, python_page
from pages.markdown import notebook_page

ALSO = ("CONTRIBUTING.md", "CHANGELOG.md", "benchmarks/RESULTS.md", "benchmarks/results")
"""What lies outside docs/ and belongs to the site."""
COPIED = (".png", ".svg", ".css", ".js")


def generated_pages() -> dict[str, str]:
    """The text of every page that is made from the code, by its name."""
    notebooks = {f"notebooks/{path.stem}.md": notebook_page(path) for path in sorted(DOCS.glob("*.ipynb"))}
    return {
        "gallery.md": gallery_page(),
        "reference/index.md": index_page(),
        "reference/command_line.md": command_line_page(),
        "reference/gin_files.md": gin_files_page(),
        "reference/python.md": python_page(),
        **component_pages(),
        **notebooks,
    }


def write_sources(folder: Path) -> None:
    """Write everything that the site is built from into an empty folder."""
    shutil.rmtree(folder, ignore_errors=True)
    outside = [
        path for name in ALSO for path in ((ROOT / name).rglob("*") if (ROOT / name).is_dir() else [ROOT / name])
    ]
    for path in sorted([*DOCS.rglob("*"), *outside]):
        name = path.relative_to(ROOT)
        if path.suffix == ".md":
            _write(folder / on_the_site(name), coloured(linked_within_the_site(path.read_text(), name)))
        elif path.suffix in COPIED:
            _write(folder / on_the_site(name), path.read_bytes())
    for page, text in generated_pages().items():
        _write(folder / page, coloured(text))


def coloured(text: str) -> str:
    """The text with gin marked as Python, which is close enough for its colours: the site knows no gin."""
    return text.replace("```gin\n", "```python\n")


def on_the_site(name: Path) -> Path:
    """Where a file of the repository lies in the site: docs/ is the top, and what lies outside it keeps its path."""
    return name.relative_to("docs") if name.parts[0] == "docs" else name


def linked_within_the_site(text: str, page: Path) -> str:
    """The text of a page of the repository with the links that the site has.

    Args:
        page: its path in the repository.
    """

    def link(found: re.Match[str]) -> str:
        target = Path(os.path.normpath(page.parent / found[1]))
        return f"]({os.path.relpath(on_the_site(target), on_the_site(page).parent)}"

    return re.sub(r"\]\((?!\w+:|#)([^)#\s]+)", link, text)


def _write(path: Path, content: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
