"""docs/faults.md has a heading for every fault code and every kind of error, and its examples say what they say."""

import re
from pathlib import Path
from typing import get_args

import pytest
from places import ROOT

from emprot_core import registry
from emprot_core.config import ConfigError, load
from emprot_core.config.faults import Code
from emprot_core.errors import EmprotError
from emprot_core.jobs import context, settings

TEXT = (ROOT / "docs" / "faults.md").read_text()
SECTIONS = {part.partition("\n")[0]: part for part in TEXT.split("\n### ")[1:]}


def errors_below(kind: type) -> set[type]:
    return {kind}.union(*(errors_below(each) for each in kind.__subclasses__()))


def test_every_fault_code_has_a_heading() -> None:
    missing = set(get_args(Code)) - set(SECTIONS)
    assert not missing, f"docs/faults.md lacks ### {', ### '.join(sorted(missing))}"


def test_every_error_of_ours_that_names_a_page_names_a_heading() -> None:
    registry.load_plugins()
    assert context.RunRefused.page, settings.ComparisonRefused.page
    pages = {error.page for error in errors_below(EmprotError) if error.__module__.startswith("emprot_")} - {""}
    assert len(pages) >= 8
    assert pages <= {f"faults#{heading}" for heading in SECTIONS}


@pytest.mark.parametrize("code", get_args(Code))
def test_an_example_of_a_fault_is_told_as_the_page_says_and_mended(code: str, own_registry: None) -> None:
    blocks = re.findall(r"```(\w+)\n(.*?)```", SECTIONS[code], re.DOTALL)
    for module in (text for language, text in blocks if language == "python"):
        Path(module.splitlines()[0].removeprefix("# ")).write_text(module)
    wrong, mended = (text for language, text in blocks if language == "gin")
    told = next(text for language, text in blocks if language == "text").splitlines()
    Path("mine.gin").write_text(wrong)
    with pytest.raises(ConfigError) as caught:
        load(["mine.gin"])
    assert code in {fault.code for fault in caught.value.faults}
    report = str(caught.value).splitlines()
    for line in told:
        assert any(known.startswith(line.removesuffix(" ...")) for known in report), line
    Path("mine.gin").write_text(mended)
    load(["mine.gin"])
