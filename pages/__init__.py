"""The documentation as a site: `python -m pages` writes the reference from the code, and builds and checks it all."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
GIN_CONFIGS = ROOT / "gin_configs"
SITE = ROOT / ".site"
"""Where the site is made: its sources below `source`, its pages below `html`. Git ignores it."""
