"""Files that are far too much: the report is short and comes soon, whatever is repeated, misspelt or nested."""

import itertools
import time
from pathlib import Path
from types import ModuleType

import pytest

from emprot_core.config import ConfigError, load

NAMES = "abcdefgh"
HOSTILE = {
    "a line repeated": "\n".join(["Trainer.max_epochs = 3"] * 2_000),
    "misspelt names": "\n".join(f"Trainer_{i}.max_epochs = {i}" for i in range(1_000)),
    "misspelt parameters": "\n".join(f"Trainer.max_epochs_{i} = {i}" for i in range(1_000)),
    "misspelt references": f"Trainer.hooks = [{', '.join(f'@hooks.Clop{i}()' for i in range(1_000))}]",
    "undefined macros": f"Trainer.hooks = [{', '.join(f'%HOOK_{i}' for i in range(1_000))}]",
    "a macro bomb": "\n".join(
        [*(f"{a.upper()} = [{', '.join([f'%{b.upper()}'] * 12)}]" for a, b in itertools.pairwise(NAMES)),
         "H = [1]", "Trainer.hooks = %A"]
    ),
    "nested brackets": f"Trainer.hooks = {'[' * 1_000}{']' * 1_000}",
    "chained macros": "\n".join(
        [*(f"M{i} = %M{i + 1}" for i in range(2_000)), "M2000 = 3", "Trainer.max_epochs = %M0"]
    ),
    "brackets within macros": "\n".join(
        [*(f"M{i} = {'[' * 45}%M{i + 1}{']' * 45}" for i in range(48)), "M48 = 1", "Trainer.hooks = %M0"]
    ),
    "definitions of macros that double": "\n".join(
        f"N{i} = [%N{i + 1}, %N{i + 1}]\nN{i} = [%N{i + 1}]" for i in range(40)
    ) + "\nN40 = 1\nTrainer.max_epochs = %N0",
    "scopes within scopes": "\n".join(f"s{i}/Clip.inner = @s{i + 1}/Clip()" for i in range(2_000))
    + "\nTrainer.hooks = [@s0/Clip()]",
}  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_file_ends_in_a_short_report_within_five_seconds(toy: ModuleType, text: str) -> None:
    Path("base.gin").write_text(toy.TRAINING)
    Path("bad.gin").write_text(text)
    started = time.monotonic()
    with pytest.raises(ConfigError) as caught:
        load(["base.gin", "bad.gin"])
    report = str(caught.value)
    assert time.monotonic() - started < 5
    assert report.count("error[") <= 50
    assert len(report) < 200_000
    if len(caught.value.faults) > 50:
        assert f"... and {len(caught.value.faults) - 50} more" in report
    assert "nothing was run. docs: faults" in report.splitlines()[-1]
