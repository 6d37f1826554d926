"""The registry: what is filed, under which name, and what happens to what cannot be."""

import functools
import importlib
import sys
from pathlib import Path
from types import ModuleType

import gin
import pytest

from emprot_core import registry
from emprot_core.contracts import Model, Optimizer
from emprot_core.errors import EmprotError
from emprot_core.kinds import KINDS, contract_kind


def test_a_registered_class_stays_the_class_it_was(empty_registry: None):
    class Mine:
        pass

    assert registry.register("model")(Mine) is Mine
    assert registry.get("model", "Mine") is Mine


def test_selectors_carry_the_folder_of_the_kind(toy: ModuleType):
    selectors = {entry.selector for entry in registry.entries()}
    assert {"emprot.models.Tiny", "emprot.optimizers.sgd", "emprot.attention.plain", "emprot.run"} <= selectors
    assert [entry.short_selector for entry in registry.entries("mixing")] == ["mixings.Tiny"]


def test_an_origin_is_a_path_from_the_package_and_a_line(toy: ModuleType):
    origin = next(entry.origin for entry in registry.entries("loss"))
    line = int(origin.removeprefix("toy_plugin.py:"))
    assert "SquaredError" in "".join(Path(toy.__file__).read_text().splitlines()[line - 1 : line + 2])


def test_a_name_taken_twice_names_both_modules(toy: ModuleType, tmp_path: Path):
    (tmp_path / "rival.py").write_text(
        "from emprot_core.registry import register\n@register('model')\nclass Tiny:\n    pass\n"
    )
    sys.path.append(str(tmp_path))
    registry.import_plugin("rival")
    message = str(registry.failures()["rival"])
    assert "registered twice: by toy_plugin and by rival" in message
    assert registry.get("model", "Tiny") is toy.Tiny


def test_a_notebook_cell_that_runs_again_replaces_its_component(empty_registry: None):
    def cell() -> type:
        made = type("Mine", (), {"__module__": "__main__"})
        return registry.register("model")(made)

    cell()
    second = cell()
    assert registry.get("model", "Mine") is second


def test_an_unknown_kind_gives_the_nearest():
    with pytest.raises(ValueError, match=r"unknown kind 'modle'.*did you mean 'model'"):
        registry.register("modle")


def test_an_unknown_name_gives_the_nearest_the_list_and_the_broken_plugins(toy: ModuleType):
    registry.import_plugin("no_such_plugin")
    with pytest.raises(registry.UnknownComponent) as caught:
        registry.get("optimizer", "sdg")
    message = str(caught.value)
    assert "did you mean 'sgd'" in message
    assert "adamw, sgd" in message
    assert "no_such_plugin failed to import" in message


def test_half_a_module_is_no_plugin(empty_registry: None, tmp_path: Path):
    (tmp_path / "half.py").write_text(
        "from emprot_core.registry import register\n@register('model')\nclass A: ...\nraise RuntimeError('half')\n"
    )
    sys.path.append(str(tmp_path))
    assert registry.import_plugin("half") == []
    assert registry.entries("model") == []
    (tmp_path / "half.py").write_text(
        (tmp_path / "half.py").read_text().replace("raise RuntimeError('half')", "#" * 40)
    )
    assert registry.import_plugin("half") == ["half"]
    assert [entry.name for entry in registry.entries("model")] == ["A"]
    assert registry.failures() == {}


def test_a_plugin_package_brings_all_its_modules_and_keeps_the_failures_apart(empty_registry: None, tmp_path: Path):
    package = tmp_path / "parts"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "good.py").write_text(
        "from emprot_core.registry import register\n@register('loss')\nclass Good:\n    pass\n"
    )
    (package / "bad.py").write_text("import a_library_nobody_has\n")
    sys.path.append(str(tmp_path))
    assert registry.import_plugin("parts") == ["parts", "parts.good"]
    assert list(registry.failures()) == ["parts.bad"]
    assert registry.get("loss", "Good")


def test_contracts_tell_the_kind_by_annotation_without_importing_anything():
    assert contract_kind(Model) == "model"
    assert contract_kind(Optimizer) == "optimizer"
    assert contract_kind(int) is None


def test_every_contract_named_by_the_registry_exists():
    for contract in (contract for kind in KINDS.values() for contract in kind.contracts):
        module, _, name = contract.partition(":")
        assert hasattr(importlib.import_module(module), name), contract


def test_a_decorator_without_a_kind_is_refused(empty_registry: None):
    with pytest.raises(EmprotError, match=r"@register over dict has no kind; write for example @register\('model'\)"):
        registry.register(dict)


def test_a_component_is_found_by_its_class_its_instance_and_a_factory_of_it(toy: ModuleType):
    entry = registry.entry_of(toy.Tiny)
    assert entry is not None
    assert (entry.kind, entry.name) == ("model", "Tiny")
    assert registry.entry_of(toy.Tiny(5)) == entry
    assert registry.entry_of(functools.partial(toy.sgd, learning_rate=1.0)).name == "sgd"
    assert registry.entry_of(object()) is None


def test_a_name_that_a_gin_file_cannot_write_is_refused(empty_registry: None):
    with pytest.raises(EmprotError, match="'my-loss' cannot be written in a gin file"):
        registry.register("loss", "my-loss")(object)


def test_components_are_filed_here_alone_and_stay_plain(toy: ModuleType):
    assert not [selector for selector, _ in gin.config._REGISTRY.items() if selector.startswith("emprot.")]
    assert toy.Tiny(5).width == 5
