"""Who may import whom: the imports of every file are read and held against the storeys of the house."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CORE = ROOT / "emprot_core"
PLUGINS = ROOT / "plugins"
FOUNDATION = {"batch", "contracts", "registry", "distributed"}
MAY_IMPORT = {
    **{module: {"batch"} for module in FOUNDATION},
    "checkpoint": FOUNDATION,
    "attention": FOUNDATION,
    "data": FOUNDATION,
    "hooks": FOUNDATION | {"checkpoint", "attention", "data"},
    "config": {"registry"},
}
MAY_IMPORT["training"] = MAY_IMPORT["hooks"] | {"hooks"}
MAY_IMPORT["evaluation"] = MAY_IMPORT["training"] | {"training"}
MAY_IMPORT["jobs"] = MAY_IMPORT["evaluation"] | {"evaluation", "config"}
MAY_IMPORT["cli"] = MAY_IMPORT["jobs"] | {"jobs"}
FOR_PLUGINS = FOUNDATION | {"checkpoint", "attention", "data"}
ANYTHING = {"components", "__init__", "__main__"}
USES_GIN = ("registry.py", "cli.py", "config/")


def imports_of(path: Path) -> list[str]:
    """Absolute names of everything a file imports; `from a.b import c` counts as a.b.c."""
    names = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            prefix = "." * node.level + (node.module or "")
            names += [f"{prefix}.{alias.name}" for alias in node.names]
    return names


def storey(path: Path) -> str:
    return path.relative_to(CORE).parts[0].removesuffix(".py")


CORE_FILES = sorted(CORE.rglob("*.py"))
PLUGIN_FILES = sorted(PLUGINS.rglob("*.py"))


@pytest.mark.parametrize("path", CORE_FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_core_files_import_only_the_storeys_below_them(path: Path) -> None:
    own = storey(path)
    if own in ANYTHING:
        return
    for name in imports_of(path):
        parts = name.split(".")
        assert parts[0] not in ("emprot_plugins", "plugins"), f"{path.name} imports a plugin: {name}"
        if parts[0] == "emprot_core" and len(parts) > 1:
            assert parts[1] == own or parts[1] in MAY_IMPORT[own] | {"__version__"}, f"{path.name} imports {name}"


@pytest.mark.parametrize("path", PLUGIN_FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_plugins_import_the_foundation_and_their_own_kind(path: Path) -> None:
    for name in imports_of(path):
        parts = name.split(".")
        assert parts[0] not in ("emprot_plugins", "plugins"), f"{path.name} imports {name} by its full name"
        assert not name.startswith(".."), f"{path.name} imports another kind's plugin: {name}"
        if parts[0] == "emprot_core":
            allowed = parts[1] in FOR_PLUGINS or name.startswith("emprot_core.hooks.base")
            assert allowed, f"{path.name} imports {name}"


@pytest.mark.parametrize("path", CORE_FILES + PLUGIN_FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_gin_is_imported_by_registry_config_and_cli_alone(path: Path) -> None:
    if "gin" in {name.split(".")[0] for name in imports_of(path)}:
        assert str(path.relative_to(ROOT)).startswith(tuple(f"emprot_core/{place}" for place in USES_GIN))


def test_the_trainer_knows_no_concrete_hook() -> None:
    for path in (CORE / "training").glob("*.py"):
        for name in imports_of(path):
            if name.startswith("emprot_core.hooks"):
                assert name.startswith("emprot_core.hooks.base"), f"{path.name} imports {name}"


@pytest.mark.parametrize("path", CORE_FILES + PLUGIN_FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_files_stay_small_enough_to_read(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 260


def test_every_subpackage_is_listed_in_setup_cfg() -> None:
    listed = (ROOT / "setup.cfg").read_text()
    for folder, package in ((CORE, "emprot_core"), (PLUGINS, "emprot_plugins")):
        for init in folder.rglob("__init__.py"):
            name = ".".join((package, *init.parent.relative_to(folder).parts))
            assert f"\n    {name}\n" in listed, f"{name} is missing from packages in setup.cfg"
