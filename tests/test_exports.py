"""What outside code may import, and what that costs."""

import importlib
import subprocess
import sys

import pytest

import emprot_core
from emprot_core import contracts, kernels, registry
from emprot_core.hooks.base import Hook
from emprot_core.jobs.load import load_run
from emprot_core.jobs.python import forecast, report, run
from emprot_core.kinds import KINDS
from emprot_core.registry import register


def test_the_package_offers_these_names() -> None:
    assert emprot_core.__all__ == ["Hook", "forecast", "load_run", "register", "report", "run"]
    assert (emprot_core.Hook, emprot_core.load_run, emprot_core.register) == (Hook, load_run, register)
    assert (emprot_core.forecast, emprot_core.report, emprot_core.run) == (forecast, report, run)


def test_public_names_show_in_dir() -> None:
    assert {*emprot_core.__all__, "__version__"} <= set(dir(emprot_core))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'registre'"):
        emprot_core.registre  # noqa: B018


def test_importing_the_package_needs_neither_torch_nor_gin() -> None:
    code = "import sys, emprot_core; print(sorted({'torch', 'gin', 'numpy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("package", [contracts, kernels], ids=lambda package: package.__name__)
def test_a_package_exports_all_that_it_lists_in_order(package) -> None:
    assert package.__all__ == sorted(package.__all__, key=lambda name: (not name.isupper(), name))
    assert all(hasattr(package, name) for name in package.__all__)


@pytest.mark.parametrize(
    "name",
    [
        "emprot_core.hooks.base:EVENTS",
        "emprot_core.training:EMPROTTrainer",
        "emprot_core.config:load",
        "emprot_core.data.store:TrajectoryStore",
        "emprot_core.data.store:StoreWriter",
        "emprot_core.batch:MISSING_ID",
    ],
)
def test_names_that_outside_files_rely_on_are_there(name: str) -> None:
    module, _, attribute = name.partition(":")
    assert hasattr(__import__(module, fromlist=[attribute]), attribute)


@pytest.mark.parametrize("folder", [*sorted({kind.folder for kind in KINDS.values()} - {""}), "prepare", "report"])
def test_every_part_can_be_imported_from_the_package_of_its_kind(folder: str) -> None:
    package = importlib.import_module(f"emprot_plugins.{folder}")
    parts = [
        entry.target for entry in registry.entries() if entry.target.__module__.startswith(f"emprot_plugins.{folder}.")
    ]
    assert parts
    for part in parts:
        assert getattr(package, part.__name__) is part
        assert part.__name__ in package.__all__
