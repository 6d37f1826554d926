"""The sources of the site: the pages of docs/, what else the repository has to read, and what the code tells."""

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
    shutil.copytree(DOCS, folder, ignore=shutil.ignore_patterns("*.ipynb", "*.json"))
    for name in ALSO:
        for path in sorted((ROOT / name).rglob("*")) if (ROOT / name).is_dir() else [ROOT / name]:
            if path.suffix in (".md", ".png"):
                _copy(path, folder / path.relative_to(ROOT))
    for name, text in generated_pages().items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    for page in folder.rglob("*.md"):
        page.write_text(linked_within_the_site(page.read_text(), page.parent == folder))


def linked_within_the_site(text: str, is_at_the_top: bool) -> str:
    """Links as the site has them, where docs/ is the top and what lies outside it stands beside its pages."""
    text = re.sub(r"(\]\()(?:\.\./)?docs/", r"\1", text)
    return re.sub(r"(\]\()\.\./", r"\1", text) if is_at_the_top else text


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
