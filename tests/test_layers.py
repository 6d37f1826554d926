"""Who may import whom: the imports of every file are read and held against the storeys of the house."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from places import CORE, PLUGINS, ROOT

from emprot_core import registry

FOUNDATION = {
    "batch",
    "contracts",
    "errors",
    "kinds",
    "registry",
    "distributed",
    "randomness",
    "files",
    "words",
    "disk",
}
LOWER = FOUNDATION | {"breach", "checkpoint", "kernels", "data"}
MAY_IMPORT = {
    **{module: {"batch", "errors"} for module in FOUNDATION},
    "registry": {"errors", "kinds"},
    "randomness": {"distributed"},
    "errors": set(),
    "files": {"disk"},
    "disk": set(),
    "words": set(),
    "breach": {"errors", "registry"},
    **dict.fromkeys(("checkpoint", "kernels", "data"), FOUNDATION | {"breach"}),
    "hooks": LOWER,
    "conformance": LOWER | {"hooks"},
    "config": {"errors", "kinds", "registry", "words"},
    "training": LOWER | {"hooks", "conformance"},
    "evaluation": LOWER | {"hooks", "conformance", "training"},
    "jobs": LOWER | {"hooks", "conformance", "training", "evaluation", "config"},
    "options": {"short_flags"},
    "short_flags": set(),
    "command_line": {"config", "options"},
    "cli": LOWER | {"hooks", "conformance", "training", "evaluation", "config", "jobs", "options", "command_line"},
}
FOR_PLUGINS = LOWER | {"hooks", "conformance"}
FOR_JOBS = FOR_PLUGINS | {"evaluation", "config", "jobs", "command_line"}
JOB_FOLDERS = {"jobs", "prepare", "report", "sweeps"}
"""Folders of plugins whose parts are jobs: they may import what a job of the core may, and nothing imports them."""
ANYTHING = {"__init__", "__main__"}
READS_A_CONFIG = {CORE / "training" / "emprot_trainer.py"}
"""Of training, only the seed's front reads a config: the experiment it runs is a gin file."""
USES_GIN = ("registry.py", "cli.py", "config/")


def imports_of(path: Path) -> Iterator[str]:
    """Absolute names of everything a file imports; `from a.b import c` counts as a.b.c."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            prefix = "." * node.level + (f"{node.module}." if node.module else "")
            yield from (f"{prefix}{alias.name}" for alias in node.names)


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


CORE_FILES = sorted(CORE.rglob("*.py"))
# The templates of --new_plugin are written as strangers write their plugins.
PLUGIN_FILES = sorted(path for path in PLUGINS.rglob("*.py") if path.parent.name != "_templates")


@pytest.mark.parametrize("path", CORE_FILES, ids=name_of)
def test_core_files_import_only_the_storeys_below_them(path: Path) -> None:
    own = path.relative_to(CORE).parts[0].removesuffix(".py")
    allowed = {own, "__version__"} | MAY_IMPORT.get(own, set()) | ({"config"} if path in READS_A_CONFIG else set())
    for name in imports_of(path):
        parts = name.split(".")
        assert parts[0] not in ("emprot_plugins", "plugins"), f"{path.name} imports a plugin: {name}"
        if parts[0] == "emprot_core" and len(parts) > 1 and own not in ANYTHING:
            assert parts[1] in allowed, f"{path.name} imports {name}"


@pytest.mark.parametrize("path", PLUGIN_FILES, ids=name_of)
def test_plugins_import_the_foundation_and_their_own_kind(path: Path) -> None:
    allowed = FOR_JOBS if path.parent.name in JOB_FOLDERS else FOR_PLUGINS
    for name in imports_of(path):
        parts = name.split(".")
        assert parts[0] not in ("emprot_plugins", "plugins"), f"{path.name} imports {name} by its full name"
        assert not name.startswith(".."), f"{path.name} imports another kind's plugin: {name}"
        if parts[0] == "emprot_core":
            assert parts[1] in allowed, f"{path.name} imports {name}"


@pytest.mark.parametrize("path", CORE_FILES + PLUGIN_FILES, ids=name_of)
def test_gin_is_imported_by_registry_config_and_cli_alone(path: Path) -> None:
    if "gin" in {name.split(".")[0] for name in imports_of(path)}:
        assert name_of(path).startswith(tuple(f"emprot_core/{place}" for place in USES_GIN))


def test_every_subpackage_is_listed_in_setup_cfg() -> None:
    listed = (ROOT / "setup.cfg").read_text()
    for folder, package in ((CORE, "emprot_core"), (PLUGINS, "emprot_plugins")):
        for init in folder.rglob("__init__.py"):
            name = ".".join((package, *init.parent.relative_to(folder).parts))
            assert f"\n    {name}\n" in listed, f"{name} is missing from packages in setup.cfg"


def strings_of(path: Path) -> Iterator[str]:
    """Every string in the code of a file; docstrings are none."""
    tree = ast.parse(path.read_text())
    bodies = [node.body for node in ast.walk(tree) if isinstance(getattr(node, "body", None), list)]
    docstrings = {id(line.value) for body in bodies for line in body if isinstance(line, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value


@pytest.mark.parametrize("path", CORE_FILES, ids=name_of)
def test_the_core_names_no_part(path: Path) -> None:
    parts = [entry for entry in registry.entries() if entry.target.__module__.startswith("emprot_plugins")]
    named = {entry.short_selector for entry in parts} | {entry.name for entry in parts if not is_a_common_word(entry)}
    for text in strings_of(path):
        words = set(re.findall(r"\w+(?:\.\w+)*", text))
        assert not words & named, f"{path.name} says {text!r}"


def is_a_common_word(entry: registry.Entry) -> bool:
    """Names that stand for something else too: optimizers.step is one, and so are the steps of a training."""
    return entry.name in ("step", "auto", "linear", "constant", "history")
