"""The commands of the pages that ask about runs, and their Python, on three runs of a few steps."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from page_blocks import Block, asks_about_runs, blocks
from places import ROOT

import emprot_core
from emprot_core.cli import main
from emprot_core.data.store import TrajectoryStore
from pages.__main__ import main as build_site

pytestmark = pytest.mark.slow
COMMANDS = sorted({command for block in blocks("sh") for command in block.commands if asks_about_runs(command)})
HERE = [block for block in blocks("python") if "tests/pages/test_commands.py" in block.comment]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with three short runs."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for number, name in enumerate(("base", "sgd", "experts")):
            emprot_core.run(
                "debug.gin", "Train.baselines=[@baselines.markov()]", f"run.seed={number}", f"run.directory=runs/{name}"
            )
    return folder


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_about_runs_ends_well(command: str, trained: Path, own_registry: None, monkeypatch) -> None:
    if "_plugin" not in command:  # those about a plugin work in an empty directory
        monkeypatch.chdir(trained)
    arguments = shlex.split(command.split(" > ")[0].replace("--step 120", "--step 3"))[1:]
    if "--check_plugin" in arguments:
        assert main(["--new_plugin", "my_lab", "--kind", "loss"]) == 0
        for block in blocks("python"):  # modules that a page writes
            if name := re.match(r"# (my_\w+\.py)\n", block.text):
                Path(name[1]).write_text(block.text)
        monkeypatch.syspath_prepend(".")
    monkeypatch.syspath_prepend("my_lab/src" if Path("my_lab/src").is_dir() else "my_lab")
    assert main(arguments) == 0


@pytest.mark.parametrize("block", HERE, ids=lambda block: f"{block.page}: {block.text.splitlines()[2]}")
def test_a_piece_of_python_runs(block: Block, trained: Path, monkeypatch) -> None:
    """With what the reader has: runs, trajectories of IDs, and loaders of batches."""
    monkeypatch.chdir(trained)
    data = emprot_core.load_run("runs/base").config.build("Train.data")
    names = {
        "my_trajectories": [("a", "P1", np.arange(40).reshape(10, 4)), ("b", "P2", np.arange(40).reshape(10, 4))],
        **{f"{name}_loader": list(data.loader(split))[:2] for name, split in
           (("train", "train"), ("val", "validation"), ("test", "test"))},
    }  # fmt: skip
    short = block.text.replace('"max_epochs": 6', '"max_epochs": 1, "d_embed": 16, "num_layers": 1')
    exec(compile(short, block.page, "exec"), names)
    if "my_store" in block.text:
        assert len(TrajectoryStore("my_store", verify=True).index) == 2


def test_the_site_is_built_without_a_warning_or_a_broken_link(capsys) -> None:
    pytest.importorskip("zensical")
    assert build_site() == 0, capsys.readouterr().err
    assert re.search(r"\d+ pages in \d+ s", capsys.readouterr().out)
    assert (ROOT / ".site" / "html" / "search.js").is_file()
