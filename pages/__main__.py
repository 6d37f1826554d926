"""python -m pages: write the reference, build the site with warnings as errors, check every link.

python -m pages --gallery [file.gin ...]: run the shipped gin files and keep what came out for the gallery.
"""

import subprocess
import sys
import time
from pathlib import Path

from emprot_core.registry import failures
from pages import ROOT, SITE
from pages.links import broken_links, loaded_from_elsewhere
from pages.sources import write_sources

FAILED = 1
FETCHED = "https://unpkg.com/iframe-worker/shim"


def main() -> int:
    """Build the site below .site/html and give the exit status."""
    if sys.argv[1:2] == ["--gallery"]:
        from pages.gallery_runs import run_gallery

        run_gallery(sys.argv[2:])
        return 0
    start = time.monotonic()
    try:
        import zensical  # noqa: F401
    except ImportError:
        print("the site needs zensical; install the extra: pip install -c constraints.txt '.[docs]'", file=sys.stderr)
        return FAILED
    if missing := failures():
        print(*(f"the reference would lack {name}: {error}" for name, error in missing.items()), file=sys.stderr)
        return FAILED
    write_sources(SITE / "source")
    if not build():
        return FAILED
    search_from_disk(SITE / "html")
    faults = [*broken_links(SITE / "html"), *loaded_from_elsewhere(SITE / "html")]
    print(*faults, sep="\n", end="\n" if faults else "", file=sys.stderr)
    pages = len(list((SITE / "html").rglob("*.html")))
    if not faults:
        print(
            f"{pages} pages in {time.monotonic() - start:.0f} s, every link leads somewhere: {SITE / 'html/index.html'}"
        )
    return FAILED if faults else 0


def build() -> bool:
    """Whether zensical built the site without a warning."""
    command = [sys.executable, "-m", "zensical", "build", "--clean", "--strict", "--config-file", "zensical.toml"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode or "Warning" in done.stderr + done.stdout:
        warnings = done.stderr.partition("Traceback")[0]
        print(done.stdout, warnings, sep="\n", file=sys.stderr)
        return False
    return True


def search_from_disk(site: Path) -> None:
    """Let the search work without a network: the theme would fetch what starts it on a page opened from disk."""
    for page in site.rglob("*.html"):
        script = "/".join([*[".."] * (len(page.relative_to(site).parts) - 1), "offline.js"])
        page.write_text(page.read_text().replace(FETCHED, script))


if __name__ == "__main__":
    sys.exit(main())
