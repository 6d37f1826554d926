"""Where things lie in the checkout."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
CORE = ROOT / "emprot_core"
PLUGINS = ROOT / "plugins"
GIN_CONFIGS = ROOT / "gin_configs"
SUPPORT = Path(__file__).parent
