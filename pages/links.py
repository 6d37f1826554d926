"""Every link and anchor of a built site leads somewhere within it."""

from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class _Page(HTMLParser):
    """The anchors of a page, and what it links to or shows."""

    def __init__(self, text: str):
        super().__init__()
        self.anchors = {""}
        self.targets: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        self.anchors |= {value for name in ("id", "name") if (value := known.get(name))}
        self.targets += [value for name in ("href", "src") if (value := known.get(name)) and tag != "base"]


def broken_links(site: Path) -> Iterator[str]:
    """What is wrong with the links of a site, one line each: a file or an anchor is missing, or one leaves the site."""
    pages = {path: _Page(path.read_text()) for path in sorted(site.rglob("*.html")) if path.name != "404.html"}
    for path, page in pages.items():
        for target in page.targets:
            parts = urlsplit(target)
            if parts.scheme:
                if parts.scheme not in ("https", "http", "data", "mailto"):
                    yield f"{path.relative_to(site)} links to {target}"
                continue
            found = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            found = found / "index.html" if found.is_dir() else found
            if not found.is_file():
                yield f"{path.relative_to(site)} links to {target}, which is not there"
            elif found in pages and unquote(parts.fragment) not in pages[found].anchors:
                yield f"{path.relative_to(site)} links to {target}: the page has no such anchor"


def loaded_from_elsewhere(site: Path) -> Iterator[str]:
    """Scripts, styles and pictures that a page would load from a network."""
    for path in sorted(site.rglob("*.html")):
        for line in _Loaded(path.read_text()).found:
            yield f"{path.relative_to(site)} loads {line}"


class _Loaded(HTMLParser):
    """Addresses that a browser loads by itself."""

    def __init__(self, text: str):
        super().__init__()
        self.found: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        loads = {"script": "src", "img": "src", "link": "href"}.get(tag)
        value = known.get(loads or "") or ""
        if value.startswith(("http", "//")) and known.get("rel") not in ("canonical", "next", "prev"):
            self.found.append(value)
