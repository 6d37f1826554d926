"""Lets each disk operation of a command fail once, or the power, and starts the command again."""

import builtins
import contextlib
import io
import itertools
import json
import os
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from places import SUPPORT
from runs_in_forks import Runs, output

from emprot_core import disk
from emprot_core.cli import main

POWER = ["--call", str(SUPPORT / "power.py"), "main"]
PROMISED = re.compile(r"going on from .*\(step (\d+)\)|(\d+) trajectories are encoded|is finished|finished what")


class Command(NamedTuple):
    """A command of emprot-run, and what must be the same in its folder after any fault."""

    arguments: list[str]
    outcome: Callable[[Path], Any]


def run_in(folder: Path, arguments: list[str]) -> tuple[int, str]:
    """Run a command in a folder, within this process. Gives its exit status and what it told."""
    folder.mkdir(exist_ok=True)
    before = os.getcwd()
    os.chdir(folder)
    disk._WARNED.clear()
    try:
        with contextlib.redirect_stderr(io.StringIO()) as told:
            return main(arguments), told.getvalue()
    finally:
        os.chdir(before)


@contextlib.contextmanager
def failing(name: str, number: int, code: int) -> Iterator[list[int]]:
    """Let the number-th call of os.<name> fail, or of the `open` of Python for a file in the current directory.

    The list counts the calls.
    """
    owners, attribute = ([io, builtins], "open") if name == "Python's open" else ([os], name)
    function, calls = getattr(owners[0], attribute), [0]

    def counted(*arguments: Any, **named: Any) -> Any:
        is_counted = owners == [os] or os.path.abspath(str(arguments[0])).startswith(os.getcwd())
        calls[0] += is_counted
        if is_counted and calls[0] == number:
            raise OSError(code, os.strerror(code))
        return function(*arguments, **named)

    with pytest.MonkeyPatch.context() as patch:
        for owner in owners:
            patch.setattr(owner, attribute, counted)
        yield calls


def count_calls(name: str, command: Command, folder: Path) -> int:
    with failing(name, 0, 0) as calls:
        status, told = run_in(folder, command.arguments)
    assert status == 0, told
    return calls[0]


def check_failures(name: str, codes: list[int], command: Command, folder: Path, step: int = 1) -> None:
    """Let each step-th call of os.<name> fail with each error, and start the command again."""
    expected = outcome_of(command, folder / "whole")
    number_of_calls = count_calls(name, command, folder / "count")
    for number, code in itertools.product(range(1, number_of_calls + 1, step), codes):
        place = folder / f"{number}-{code}"
        place.mkdir()
        with failing(name, number, code):
            first, told = run_in(place, command.arguments)
        assert first in (0, 1), (number, told)
        assert "Traceback" not in told, (number, told)
        assert first == 0 or "error: " in told
        status, told = run_in(place, command.arguments)
        assert status == 0 or (first == 0 and "exists; remove it" in told), (number, code, told)
        assert command.outcome(place) == expected, (number, code, told)


def check_kills(name: str, command: Command, runs: Runs, folder: Path) -> None:
    """Kill the command before each call of os.<name>, and start it again."""
    expected = outcome_of(command, folder / "whole")
    for number in range(1, count_calls(name, command, folder / "count") + 1):
        place = folder / str(number)
        status = runs(place, command.arguments, SABOTAGE=f"os:{name} {number} before")
        assert status in (-signal.SIGKILL, 0), (number, output(place))  # the fork opens a few files less
        assert runs(place, command.arguments) == 0 or "exists; remove it" in output(place), (number, output(place))
        assert command.outcome(place) == expected, (number, output(place))  # so it was done before, if it exists


def check_power_failures(command: Command, runs: Runs, folder: Path, step: int) -> int:
    """Let the power fail before each step-th operation. Gives the number of operations that were tried."""
    expected = outcome_of(command, folder / "whole")
    for tried, number in enumerate(itertools.count(1, step)):
        wrong = without_power(command, runs, folder / str(number), number, expected)
        if wrong == "done":
            return tried
        assert not wrong, (number, wrong)
    raise AssertionError


def check_durable(command: Command, runs: Runs, folder: Path) -> None:
    """Let the power fail right after the command has said that it is done: every file must be as it was."""
    assert runs(folder, POWER, POWER="at the end", ARGUMENTS=json.dumps(command.arguments)) == 0, output(folder)
    lost = Path(f"{folder}.lost").read_text().split()
    assert lost == ["output.txt"], lost  # which the test itself writes


def without_power(command: Command, runs: Runs, place: Path, number: int, expected: Any, **environment: str) -> str:
    """Let the power fail before the number-th operation, and start the command again. Gives what went wrong."""
    status = runs(place, POWER, POWER=str(number), ARGUMENTS=json.dumps(command.arguments), **environment)
    saved = Path(f"{place}.saved")
    promised = int(saved.read_text()) if saved.exists() else 0
    if status != -signal.SIGKILL:
        return f"status {status} where the power should fail" if number == 1 else "done"
    if runs(place, command.arguments) != 0:
        return output(place)
    found = PROMISED.search(output(place))
    if promised and not (found and int(found[1] or found[2] or promised) >= promised):
        return f"{promised} was saved and is lost: {output(place)}"
    return "" if command.outcome(place) == expected else "another outcome"


def outcome_of(command: Command, folder: Path) -> Any:
    """What the command leaves if nothing fails."""
    status, told = run_in(folder, command.arguments)
    assert status == 0, told
    return command.outcome(folder)
