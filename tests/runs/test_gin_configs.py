"""The shipped gin files and the pages as a manual: each file is sound, and every command works as written."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from places import ROOT
from runs_in_forks import scalars

from emprot_core.cli import main
from emprot_core.data.store import TrajectoryStore

FILES = sorted((ROOT / "gin_configs").glob("*.gin"))


def header(path: Path) -> list[str]:
    return path.read_text().split("\n\n")[0].splitlines()


def commands(text: str) -> list[str]:
    """The emprot-run commands of a text, one that goes on after a backslash as one."""
    joined = re.sub(r"\s*\\\n", " ", text)
    return [line.strip() for line in joined.splitlines() if line.strip().startswith("emprot-run ")]


HEADER_COMMANDS = [
    command for path in FILES for command in commands("\n".join(line.lstrip("# ") for line in header(path)))
]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
TEXT = "\n".join(page.read_text() for page in PAGES)
PAGE_COMMANDS = [command for command in commands(TEXT) if "--gin_file" in command or "--export" in command]


@pytest.fixture(autouse=True)
def _in_an_empty_directory(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_shipped_file_passes_the_check_from_any_directory(path: Path) -> None:
    assert main([f"--gin_file={path.name}", "--check"]) == 0


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_header_gives_a_purpose_and_the_command(path: Path) -> None:
    assert all(line.startswith("#") for line in header(path))
    assert any(f"emprot-run --gin_file={path.name}" in line for line in header(path))


@pytest.mark.parametrize("command", HEADER_COMMANDS)
def test_every_command_in_a_header_is_sound(command: str) -> None:
    assert main([*shlex.split(command)[1:], "--check"]) == 0


PAGE_MODULES = dict(re.findall(r"```python\n# (my_\w+\.py)\n(.*?)```", TEXT, re.DOTALL))


@pytest.mark.parametrize("command", PAGE_COMMANDS)
def test_every_command_in_a_page_is_sound(command: str, own_registry: None) -> None:
    """Beside the components that are registered by now, those of the examples in the pages."""
    for name, source in PAGE_MODULES.items():
        Path(name).write_text(source)
    arguments = shlex.split(command.split(" > ")[0])[1:]
    asks = {"--check", "--print_config", "--dry_run"} & set(arguments) or "--export" in command
    assert main([*arguments, *([] if asks else ["--check"])]) == 0


def test_the_tokenizer_in_the_readme_has_under_twenty_lines_and_makes_a_store(own_registry: None) -> None:
    source = PAGE_MODULES["my_tokenizer.py"]
    assert len([line for line in source.splitlines() if line.strip() and not line.startswith(("import", "from"))]) < 20
    Path("my_tokenizer.py").write_text(source)
    bindings = ["Prepare.tokenizers = [@tokenizers.bend()]", "kmeans_environment.centroids = None"]
    flags = [f"--gin_bindings={binding}" for binding in bindings]
    assert main(["--plugin=my_tokenizer", "--gin_file=prepare_sample.gin", "--allow_unused", *flags]) == 0
    store = TrajectoryStore("sample_stores/bend", verify=True)
    assert store.vocabulary.tokenizer == {"name": "bend", "classes": ["straight", "bent"]}
    ids = store.ids(1)  # one stretch of chain: the termini have none
    assert set(ids[:, [0, 1, -2, -1]].ravel().tolist()) == {-1}
    assert set(ids[:, 2:-2].ravel().tolist()) == {0, 1}


def test_there_are_commands_to_check() -> None:
    assert len(HEADER_COMMANDS) >= len(FILES)
    assert len(PAGE_COMMANDS) >= 10


def test_the_hook_and_the_loss_in_the_pages_train(own_registry: None) -> None:
    for name in ("my_hook", "my_loss"):
        Path(f"{name}.py").write_text(PAGE_MODULES[f"{name}.py"])
    swaps = ["Trainer.extra_hooks=[@hooks.LogLargestWeight()]", "Trainer.loss=@losses.LabelRank()"]
    assert main(["--plugin=my_hook", "--plugin=my_loss", "--gin_file=debug.gin", "Train.baselines=[]", *swaps]) == 0
    assert "largest_weight" in "".join(scalars("runs/debug"))


def test_the_parts_of_the_page_on_plugins_train(own_registry: None) -> None:
    for name in ("my_smooth", "my_wrapper"):
        Path(f"{name}.py").write_text(PAGE_MODULES[f"{name}.py"])
    swaps = ["Trainer.loss=@losses.Tempered()", "TrajectoryWindows.split=@splits.FirstTrajectories()"]
    more = ["FirstTrajectories.inner=@splits.ByTime()", "Train.baselines=[]", "Trainer.max_steps=1"]
    assert main(["--plugin=my_smooth", "--plugin=my_wrapper", "--gin_file=debug.gin", *swaps, *more]) == 0


PYTHON_BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


def test_the_python_of_the_pages_has_sound_types(tmp_path: Path) -> None:
    """Of the examples that stand alone; the others name a run or a loader that the reader has."""
    for number, block in enumerate(block for block in PYTHON_BLOCKS if " -> " in block or "config = load" in block):
        (tmp_path / f"example_{number}.py").write_text(block)
    checker = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", *map(str, tmp_path.glob("*.py"))]
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "emprot_plugins").symlink_to(ROOT / "plugins")
    (tmp_path / "path" / "emprot_core").symlink_to(ROOT / "emprot_core")
    environment = {**os.environ, "MYPYPATH": str(tmp_path / "path")}
    done = subprocess.run(checker, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_config_of_a_notebook_is_read_and_built() -> None:
    (block,) = (block for block in PYTHON_BLOCKS if "config = load" in block)
    found: dict[str, Any] = {}
    exec(block, found)
    assert found["model"].num_clusters == found["data"].vocabulary.num_clusters
    assert found["batch"]["input_cluster_ids"].dtype == torch.long


def test_the_reader_in_the_pages_makes_a_store(own_registry: None) -> None:
    Path("my_reader.py").write_text(PAGE_MODULES["my_reader.py"])
    Path("ids").mkdir()
    ids = np.arange(24).reshape(6, 4) % 5 - 1
    np.savetxt("ids/a.csv", ids, fmt="%d", delimiter=",")
    swaps = ["Prepare.source='ids/*.csv'", "Prepare.reader=@readers.csv_ids()", "precomputed.num_clusters=50"]
    swaps += ["Prepare.tokenizers=[@tokenizers.precomputed()]", "precomputed.name=mine"]
    assert main(["--plugin=my_reader", "--gin_file=prepare.gin", "Prepare.num_workers=1", *swaps]) == 0
    np.testing.assert_array_equal(TrajectoryStore("my_stores/mine").ids(0), ids)


def test_links_between_pages_lead_somewhere() -> None:
    """To a file, or to a page that is made with the site; the slow test of the site follows each link and anchor."""
    made = set(re.findall(r'= "([\w/]+\.md)"', (ROOT / "zensical.toml").read_text()))
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
            leads = (page.parent / target).exists() or target.removeprefix("docs/") in made
            assert leads, f"{page.name} links to {target}"
