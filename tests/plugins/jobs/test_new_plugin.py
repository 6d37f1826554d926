"""A new plugin: a folder that is sound from the start, for every kind; and the check that its own CI calls."""

import os
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest
from emprot_plugins.jobs.new_plugin import WITHOUT_TEMPLATE, kinds_with_template
from places import ROOT

from emprot_core import registry
from emprot_core.cli import main
from emprot_core.kinds import KINDS

BROKEN = """
from emprot_core import register

@register("baseline")
class Wrong:
    name = "wrong"

    def fit(self, train, validation, num_clusters):
        pass

    def predict(self, batch):
        return 1

@register("loss")
class Needs:
    def __init__(self, alpha):
        self.alpha = alpha

@register("hook")
class Raises:
    def __init__(self):
        {}["missing"]
"""


@pytest.fixture
def forgets_plugins(tmp_path: Path, monkeypatch) -> Iterator[None]:
    """An empty current directory; what is registered in the test is forgotten after it."""
    monkeypatch.chdir(tmp_path)
    registry.load_plugins()
    entries, plugins = dict(registry._entries), list(registry._plugins)
    yield
    registry._entries.clear()
    registry._entries.update(entries)
    for name in set(registry._plugins) - set(plugins):
        registry._failures.pop(name, None)
        for module in [each for each in sys.modules if each.partition(".")[0] == name.partition(".")[0]]:
            del sys.modules[module]
    registry._plugins[:] = plugins


def test_every_kind_has_a_template_or_a_reason_not_to() -> None:
    assert set(KINDS) == {*kinds_with_template(), *WITHOUT_TEMPLATE}


def test_the_parts_of_every_kind_keep_their_contracts_and_every_gin_file_is_sound(
    forgets_plugins, monkeypatch, capsys
) -> None:
    assert main(["--new_plugin", "fresh_lab", "--kind", ",".join(kinds_with_template())]) == 0
    monkeypatch.syspath_prepend(str(Path("fresh_lab").absolute()))
    assert main(["--check_plugin", "fresh_lab"]) == 0, capsys.readouterr().err
    number = len(kinds_with_template())
    assert f"{number} of {number} components keep their contracts" in capsys.readouterr().err
    files = sorted(Path("fresh_lab").glob("*.gin"))
    assert len(files) == 9
    for path in files:
        assert main(["--check", "--plugin=fresh_lab", f"--gin_file={path}"]) == 0, capsys.readouterr().err
    bound = "".join(path.read_text() for path in files)
    assert all(f"@{KINDS[kind].folder}." in bound for kind in kinds_with_template())


def test_without_kinds_there_are_a_model_and_a_hook(forgets_plugins) -> None:
    assert main(["--new_plugin", "plain_lab"]) == 0
    assert sorted(path.name for path in Path("plain_lab/plain_lab").glob("*.py")) == [
        "__init__.py",
        "hook.py",
        "model.py",
    ]
    text = Path("plain_lab/plain_lab/model.py").read_text()
    assert "class PlainLabModel(nn.Module)" in text
    assert "emplate" not in "".join(path.read_text() for path in Path("plain_lab").rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["My-Lab"], "cannot name a package"),
        (["class"], "cannot name a package"),
        (["numpy"], "a package numpy is installed already"),
        (["json"], "a package json is installed already"),
        (["there"], "there exists; remove it"),
        (["lab", "--kind", "los"], "'los' is no kind; there are model, expert"),
        (["lab", "--kind", "data"], "there is no template for the kind data: most data are a store and a split"),
    ],
)
def test_what_cannot_be_made_is_refused(forgets_plugins, capsys, arguments: list[str], message: str) -> None:
    Path("there").mkdir()
    assert main(["--new_plugin", *arguments]) == 1
    assert message in capsys.readouterr().err
    assert [path.name for path in Path().iterdir()] == ["there"]


def test_kind_goes_with_new_plugin(capsys) -> None:
    assert main(["--gin_file=base.gin", "--kind", "loss"]) == 2
    assert "--kind goes with --new_plugin" in capsys.readouterr().err


def test_every_fault_of_a_plugin_is_told_at_once(forgets_plugins, monkeypatch, capsys) -> None:
    Path("broken.py").write_text(BROKEN)
    monkeypatch.syspath_prepend(str(Path().absolute()))
    assert main(["--check_plugin", "broken"]) == 1
    told = capsys.readouterr().err
    assert (
        "error: baselines.Wrong (broken.py:4): expected predict to give Prediction(predicted, nll_nats), got 1" in told
    )
    assert "error: losses.Needs (broken.py:14) could not be built; bind what it needs by CheckPlugin.bindings" in told
    assert "error: hooks.Raises (broken.py:19) raised KeyError: 'missing'" in told
    assert "0 of 3 components keep their contracts" in told
    assert "Traceback" not in told
    assert [path.name for path in Path().iterdir() if path.suffix != ".py" and path.name != "__pycache__"] == []


def test_the_shipped_file_finds_nothing_to_complain_of(in_an_empty_directory, capsys) -> None:
    assert main(["--gin_file=check_plugin.gin"]) == 0
    assert "4 of 4 components keep their contracts" in capsys.readouterr().err


def test_a_module_that_registers_nothing_is_refused(forgets_plugins, monkeypatch, capsys) -> None:
    Path("nothing.py").touch()
    monkeypatch.syspath_prepend(str(Path().absolute()))
    assert main(["--check_plugin", "nothing"]) == 2
    assert "nothing registers no component" in capsys.readouterr().err


@pytest.mark.campaign
def test_a_new_plugin_installs_into_a_new_environment_and_passes_its_own_checks(tmp_path: Path) -> None:
    """The packages of this environment are visible in the new one; pip fetches nothing."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", "venv"], cwd=tmp_path, check=True)
    (site,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    (site / "shared.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    python = str(tmp_path / "venv" / "bin" / "python")

    def run(*command: str) -> str:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "MYPYPATH": str(ROOT)}
        done = subprocess.run([python, "-m", *command], cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    run("emprot_core", "--new_plugin", "whole_lab", "--kind", ",".join(kinds_with_template()))
    run("pip", "install", "--no-deps", "--no-build-isolation", "-e", "whole_lab")
    run("pytest", "-q", "-p", "no:cacheprovider", "whole_lab")
    # mypy does not follow the import hook of an editable install, so it is told where emprot_core lies.
    run("mypy", "--strict", "--follow-imports=silent", "whole_lab/whole_lab", "whole_lab/tests")
    told = run("emprot_core", "--gin_file=whole_lab/whole_lab.gin", "Trainer.max_steps=2", "Train.baselines=[]")
    assert "WholeLabModel" in told
    run("emprot_core", "--gin_file=debug.gin", "Trainer.loss=@losses.WholeLabLoss()", "Train.baselines=[]")
