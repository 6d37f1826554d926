"""What docstrings say about parameters, as --describe, --export and the reference tell it."""

import pytest

from emprot_core import registry
from emprot_core.config.describe import describe
from emprot_core.config.docstrings import meanings, prose
from emprot_core.config.signature import bindable
from emprot_core.registry import Entry


def part(first: int, second: str = "", third: float = 0.5) -> None:
    """One line.

    A second paragraph.

    Args:
        first: what it is,
            and more of it.
        second, third: of both.

    Raises:
        ValueError: never.
    """


def test_prose_and_meanings_are_the_two_halves_of_a_docstring() -> None:
    entry = Entry("object", "part", part)
    assert prose(entry) == ["One line.", "", "A second paragraph.", "", "Raises:", "    ValueError: never."]
    assert meanings(entry) == {"first": "what it is, and more of it.", "second": "of both.", "third": "of both."}


def test_every_parameter_of_every_component_has_a_meaning() -> None:
    registry.load_plugins()
    entries = [entry for entry in registry.entries() if entry.target.__module__.startswith("emprot_")]
    assert len(entries) > 80
    without = {e.selector: missing for e in entries if (missing := set(bindable(e)) - set(meanings(e)))}
    assert not without


def test_a_description_names_a_parameter_once_with_its_meaning() -> None:
    registry.load_plugins()
    told = describe("Trainer")
    assert told.count("grad_accum_steps: int = 1") == 1
    assert "      micro-batches whose gradients make one optimizer step." in told
    assert "Args:" not in told


@pytest.mark.parametrize("text", [None, "", "Args:\n    nothing"])
def test_a_poor_docstring_has_no_meanings(text: str | None) -> None:
    def poor() -> None: ...

    poor.__doc__ = text
    assert meanings(Entry("object", "poor", poor)) == {}
