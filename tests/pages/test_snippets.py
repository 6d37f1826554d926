"""Every command and every piece of code in the pages is run by a test, or says why it is not."""

import re
import shlex
from configparser import ConfigParser
from pathlib import Path

import pytest
from page_blocks import PAGES, Block, asks_about_runs, blocks, is_a_config
from places import ROOT

from emprot_core.cli import main
from emprot_core.config import load
from emprot_core.options import parse

LANGUAGES = {"sh", "console", "python", "gin", "text"}
TEXT = "\n".join(page.read_text() for page in PAGES)


def is_accounted_for(block: Block) -> bool:
    """Whether the comment before a block names a test that is there, or a reason."""
    test = re.match(r"run by (tests/\S+\.py)", block.comment)
    return (ROOT / test[1]).is_file() if test else block.comment.startswith("not run by a test: ")


def test_every_block_has_a_language_that_tells_what_to_do_with_it() -> None:
    assert {block.language for page in PAGES for block in blocks("")} == set()
    known = set(re.findall(r"^```(\w+)$", TEXT, re.MULTILINE))
    assert known <= LANGUAGES


@pytest.mark.parametrize("block", blocks("sh"), ids=lambda block: f"{block.page}:{block.commands[0][:40]}")
def test_every_command_is_run_by_a_test_or_says_why_not(block: Block) -> None:
    extras = ConfigParser()
    extras.read(ROOT / "setup.cfg")
    for command in block.commands:
        install = re.fullmatch(r"pip install -c constraints\.txt '\.\[(\w+)\]'", command)
        known = (
            is_a_config(command)
            or asks_about_runs(command)
            or (install and install[1] in extras["options.extras_require"])
        )
        assert known or is_accounted_for(block), (
            f"{block.page}: write <!-- not run by a test: why --> above {command!r}"
        )


@pytest.mark.parametrize("block", blocks("python"), ids=lambda block: f"{block.page}:{block.text.splitlines()[0]}")
def test_every_python_block_is_run_by_a_test_or_says_why_not(block: Block) -> None:
    module = re.match(r"# (my_\w+)\.py\n", block.text)
    is_used = bool(module and re.search(rf"(--plugin={module[1]}\b|^import {module[1]}$)", TEXT, re.MULTILINE))
    assert is_used or is_accounted_for(block), f"{block.page}: write <!-- run by tests/... --> above the block"


@pytest.mark.parametrize(
    "block", [b for b in blocks("gin") if b.page != "docs/faults.md"], ids=lambda block: f"{block.page}"
)
def test_every_gin_block_is_sound(block: Block, in_an_empty_directory: None) -> None:
    Path("mine.gin").write_text(block.text if "include" in block.text else f"include 'base.gin'\n{block.text}")
    load(["mine.gin"])


@pytest.mark.parametrize("block", blocks("console"), ids=lambda block: block.page)
def test_a_command_that_is_shown_with_what_it_says_says_it(block: Block, in_an_empty_directory: None, capsys) -> None:
    command, *told = block.text.splitlines()
    main(shlex.split(command.removeprefix("$ "))[1:])
    printed = capsys.readouterr()
    assert "\n".join(told) in printed.out + printed.err


@pytest.mark.parametrize("command", sorted(set(re.findall(r"`(emprot-run [^`]+)`", TEXT))))
def test_every_command_within_a_sentence_is_understood(command: str) -> None:
    parse(shlex.split(command.split(" > ")[0])[1:])
