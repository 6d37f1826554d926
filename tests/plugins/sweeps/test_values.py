"""What a sweep varies: parsing, grids, and random trials."""

import math

import pytest
from emprot_plugins.sweeps.values import Choices, Range, draw, grid, parse

from emprot_core.errors import EmprotError


def test_lists_are_choices_ranges_are_ranges_and_the_rest_is_fixed() -> None:
    texts = ["a.b = [1e-4, 3e-4]", "run.seed=[0]", "m.rate=log(1e-4, 1e-1)", "m.depth=int(1,8)", "m.width=64"]
    space, fixed = parse(texts)
    assert space == {
        "a.b": Choices(("1e-4", "3e-4")),
        "run.seed": Choices(("0",)),
        "m.rate": Range("log", 1e-4, 1e-1),
        "m.depth": Range("int", 1, 8),
    }
    assert fixed == ["m.width=64"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.b=[@x.y(), @z]", ("@x.y()", "@z")),
        ("a.b=[(1, 2), (3, 4)]", ("(1, 2)", "(3, 4)")),
        ("a.b=[[1, 2], [3], {'k': 4, 'l': 5}]", ("[1, 2]", "[3]", "{'k': 4, 'l': 5}")),
        ("a.b=['x, y', \"z]\", 'it\\'s, so']", ("'x, y'", '"z]"', "'it\\'s, so'")),
        ("a.b=[1, 2,]", ("1", "2")),
    ],
)
def test_only_commas_outside_of_brackets_and_quotes_part_values(text: str, expected: tuple[str, ...]) -> None:
    assert parse([text])[0]["a.b"].texts == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed", "'seed' is no value to sweep over; write for example"),
        ("--x=[1]", "is no value to sweep over"),
        ("a.b=[]", "has no value"),
        ("a.b=log(1)", "has no two numbers in its brackets; write log(low, high)"),
        ("a.b=log(0, 1)", "is no range: expected 0 < low < high"),
        ("a.b=uniform(2, 1)", "is no range: expected low < high"),
        ("a.b=int(1, 2.5)", "expected whole numbers"),
    ],
)
def test_what_cannot_be_swept_is_told(text: str, message: str) -> None:
    with pytest.raises(EmprotError) as error:
        parse([text])
    assert message in str(error.value)


def test_a_name_that_comes_twice_is_refused() -> None:
    with pytest.raises(EmprotError, match=r"the sweep has a\.b twice"):
        parse(["a.b=[1]", "a.b=[2]"])


def test_a_grid_has_every_combination_and_the_last_name_changes_fastest() -> None:
    assert grid(parse(["a.b=[1, 2]", "c.d=[x, y]"])[0]) == [
        {"a.b": "1", "c.d": "x"},
        {"a.b": "1", "c.d": "y"},
        {"a.b": "2", "c.d": "x"},
        {"a.b": "2", "c.d": "y"},
    ]
    with pytest.raises(EmprotError, match="a range, of which a grid has no end"):
        grid(parse(["a.b=log(1, 2)"])[0])


def test_random_trials_depend_on_seed_and_number_alone_and_fill_their_ranges() -> None:
    space = parse(["a.b=[p, q, r]", "c.d=log(1e-4, 1)", "e.f=int(2, 4)", "g.h=uniform(-1, 1)"])[0]
    trials = [draw(space, 0, number) for number in range(3000)]
    assert trials[7] == draw(space, 0, 7) != draw(space, 1, 7)
    for name, values in (("a.b", "pqr"), ("e.f", "234")):
        shares = [sum(trial[name] == value for trial in trials) / 3000 for value in values]
        assert shares == pytest.approx([1 / 3] * 3, abs=0.04)
    logs = [math.log10(float(trial["c.d"])) for trial in trials]
    assert min(logs) >= -4
    assert max(logs) <= 0
    assert sum(logs) / 3000 == pytest.approx(-2, abs=0.1)
    assert sum(float(trial["g.h"]) for trial in trials) / 3000 == pytest.approx(0, abs=0.05)
