"""What a sweep varies: names of bindings with the values that they take, as on a command line."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np

from emprot_core.errors import EmprotError

_NAME = re.compile(r"(?:\w+/)*(?:\w+\.)*\w+")
_RANGE = re.compile(r"(log|uniform|int)\((.+)\)", re.DOTALL)
_OPENING, _CLOSING, _QUOTES = "([{", ")]}", "'\""
_EXAMPLES = "'adamw.learning_rate=[1e-4, 3e-4]', 'adamw.weight_decay=log(1e-3, .1)'"


class Choices(NamedTuple):
    """Values as gin text."""

    texts: tuple[str, ...]


class Range(NamedTuple):
    """Numbers from `low` to `high`: "uniform", "log" (uniform in the logarithm) or "int" (both ends count)."""

    kind: str
    low: float
    high: float

    def at(self, share: float) -> str:
        """The number below which this share of the range lies, as gin text."""
        if self.kind == "int":
            return str(min(int(self.high), int(self.low) + int(share * (self.high - self.low + 1))))
        if self.kind == "log":
            return repr(math.exp(math.log(self.low) + share * (math.log(self.high) - math.log(self.low))))
        return repr(self.low + share * (self.high - self.low))


Space = dict[str, Choices | Range]


def parse(values: Sequence[str]) -> tuple[Space, list[str]]:
    """The space of Name.parameter=[a, b] or =log(a, b), uniform(a, b), int(a, b); and what has one value only.

    Raises:
        EmprotError: a text is no such thing, or a name comes twice.
    """
    space: Space = {}
    fixed = []
    for text in values:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not equals or not _NAME.fullmatch(name):
            raise EmprotError(f"{text!r} is no value to sweep over; write for example {_EXAMPLES}")
        if name in space:
            raise EmprotError(f"the sweep has {name} twice; give all its values at once: '{name}=[..., ...]'")
        if found := _RANGE.fullmatch(value):
            space[name] = _range(text, found[1], found[2])
        elif value.startswith("[") and value.endswith("]"):
            texts = tuple(_split(value[1:-1]))
            if not texts:
                raise EmprotError(f"{text!r} has no value; write for example {_EXAMPLES}")
            space[name] = Choices(texts)
        else:
            fixed.append(text)
    return space, fixed


def grid(space: Space) -> list[dict[str, str]]:
    """Every combination, the last name changing fastest.

    Raises:
        EmprotError: a range is in the space.
    """
    if ranges := [name for name, values in space.items() if isinstance(values, Range)]:
        raise EmprotError(
            f"{ranges[0]} is a range, of which a grid has no end; add --search random --trials 20, or list its values"
        )
    texts = [values.texts for values in space.values() if isinstance(values, Choices)]
    return [dict(zip(space, each, strict=True)) for each in product(*texts)]


def draw(space: Space, seed: int, number: int) -> dict[str, str]:
    """The values of a random trial, the same whenever (seed, number) is."""
    shares = np.random.default_rng([seed, number]).random(len(space)).tolist()
    return {name: _at(values, share) for (name, values), share in zip(space.items(), shares, strict=True)}


def overrides(values: Mapping[str, str]) -> list[str]:
    """As on a command line."""
    return [f"{name}={text}" for name, text in values.items()]


def _at(values: Choices | Range, share: float) -> str:
    if isinstance(values, Range):
        return values.at(share)
    return values.texts[int(share * len(values.texts))]


def _range(text: str, kind: str, ends: str) -> Range:
    try:
        low, high = (float(end) for end in ends.split(","))
    except ValueError as error:
        raise EmprotError(f"{text!r} has no two numbers in its brackets; write {kind}(low, high)") from error
    if (
        not low < high
        or (kind == "log" and low <= 0)
        or (kind == "int" and not (low.is_integer() and high.is_integer()))
    ):
        expected = {"log": "0 < low < high", "int": "whole numbers, low < high"}.get(kind, "low < high")
        raise EmprotError(f"{text!r} is no range: expected {expected}")
    return Range(kind, low, high)


def _split(text: str) -> Iterator[str]:
    """The parts between commas that stand in no brackets and no quotes."""
    depth, quote, start = 0, "", 0
    for i, letter in enumerate(text):
        if quote:
            quote = "" if letter == quote and text[i - 1] != "\\" else quote
        elif letter in _QUOTES:
            quote = letter
        elif letter == "," and depth == 0:
            yield text[start:i].strip()
            start = i + 1
        else:
            depth += (letter in _OPENING) - (letter in _CLOSING)
    if last := text[start:].strip():
        yield last
