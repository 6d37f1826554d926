"""Gin text into statements: places, blocks, resuming after a fault, and where files are looked for."""

from pathlib import Path
from types import ModuleType

import pytest

from emprot_core.config import ConfigError, load
from emprot_core.config.statements import Binding, parse
from emprot_core.config.values import Macro, Reference, Unreadable, leaves


def places(text: str) -> list[str]:
    return [f"{s}@{s.location.line}" for s in parse(text, "x.gin").statements if isinstance(s, Binding)]


def faults(text: str) -> list[tuple[int, str]]:
    parsed = parse(text, "x.gin")
    values = [statement.value for statement in parsed.statements if isinstance(statement, Binding)]
    found = [*parsed.faults, *(value.fault for value in values if isinstance(value, Unreadable))]
    return sorted((fault.location.line, fault.message) for fault in found)


def test_statements_know_their_lines():
    text = "# purpose\n\na.b = 1\n\ns/t/a.c = [\n  1,\n  2,\n]\nM = 'x'  # why\n"
    assert places(text) == ["a.b@3", "s/t/a.c@5", "M@9"]


def test_a_reference_inside_a_list_has_its_own_line():
    parsed = parse("a.b = [\n  @x.One(),\n  @x.Two,\n  %THREE\n]\n", "x.gin")
    binding = parsed.statements[0]
    assert isinstance(binding, Binding)
    found = [(str(leaf), leaf.location.line) for leaf in leaves(binding.value) if isinstance(leaf, Reference | Macro)]
    assert found == [("@x.One()", 2), ("@x.Two", 3), ("%THREE", 4)]


def test_a_block_is_its_bindings():
    text = "s/Trainer:  # comment\n  # why\n  a = 1\n  b = [\n    2,\n  ]\n\n  c = 'x'\nd.e = 5\n"
    assert places(text) == ["s/Trainer.a@3", "s/Trainer.b@4", "s/Trainer.c@8", "d.e@9"]


def test_a_fault_in_a_block_leaves_its_neighbours():
    text = "Trainer:\n  a 1\n  b = 2\n  c = cuda\n  d = 4\n"
    assert [line for line, _ in faults(text)] == [2, 4]
    assert {"Trainer.b@3", "Trainer.d@5"} <= set(places(text))


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("a.b = cuda", 1, "'cuda' is not a gin value"),
        ("a.b = 1\na.c = true", 2, "'true' is not a gin value"),
        ("a.b = 1/3", 1, "'1/3' is not a gin value"),
        ("a.b = [1,\n  2\na.c = 3", 1, "'[' is never closed"),
        ("a.b = [1, 2)\na.c = 3", 1, "')' closes nothing"),
        ("a.b = 1\na.c = 'open\na.d = 2", 2, "the string that ' opens is never closed"),
        ("a.b = '''open\na.c = 2", 1, "the string that ''' opens is never closed"),
        ("a.b =\na.c = 2", 1, "there is no value after ="),
        ("a.b 3\na.c = 2", 1, "this is no statement"),
        ("%M = 3\na.c = 2", 1, "this is no statement"),
        ("a.b = @x.Y(3)\na.c = 2", 1, "Expected ')'"),
        ("Trainer:\na.c = 2", 1, "the block Trainer: is empty"),
        ("include base.gin\na.c = 2", 1, "include takes a file name in quotes"),
        ("a.b = {1: 2, 3}\na.c = 2", 1, "Expected ':'"),
        ("a.b = float('nan')\na.c = 2", 1, "'float' is not a gin value"),
    ],
)
def test_a_syntax_fault_stands_where_it_is(text: str, line: int, message: str):
    assert faults(text) == [(line, message)]


def test_reading_resumes_at_the_next_statement():
    text = "a.b = cuda\na.c = [1,\na.d = 'x\na.e = 4\nfoo bar\na.f = 5\n"
    assert [line for line, _ in faults(text)] == [1, 2, 3, 5]
    assert {"a.e@4", "a.f@6"} <= set(places(text))


def test_text_in_triple_quotes_is_no_statement():
    assert places("a.b = '''first\nx.y = 3\n'''\na.c = 4\n") == ["a.b@1", "a.c@4"]


def test_python_forms_of_values_are_read_as_gin_reads_them():
    text = "a.b = (1)\na.c = (1,)\na.d = {'k': [True, None, -2.5e-3]}\na.e = 'x' 'y'\na.f = 1e999\n"
    values = [statement.value for statement in parse(text, "x.gin").statements if isinstance(statement, Binding)]
    assert values == [1, (1,), {"k": [True, None, -0.0025]}, "xy", float("inf")]


def test_windows_line_ends_and_a_byte_order_mark_do_no_harm(toy: ModuleType, tmp_path: Path):
    (tmp_path / "win.gin").write_bytes(b"\xef\xbb\xbf" + toy.TRAINING.replace("\n", "\r\n").encode())
    assert load(["win.gin"]).get("models.Tiny.width") == 8


def test_a_file_that_is_no_text_is_one_fault(toy: ModuleType, tmp_path: Path):
    (tmp_path / "data.gin").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError) as caught:
        load(["data.gin"])
    assert [fault.message for fault in caught.value.faults] == ["data.gin is not UTF-8 text (byte 0)"]


@pytest.fixture
def tree(toy: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """configs/variant.gin includes base.gin; both stand in configs/, the current directory is empty."""
    (tmp_path / "configs").mkdir()
    (tmp_path / "cwd").mkdir()
    (tmp_path / "configs" / "base.gin").write_text(toy.TRAINING)
    (tmp_path / "configs" / "variant.gin").write_text("include 'base.gin'\nmodels.Tiny.depth = 2\n")
    monkeypatch.chdir(tmp_path / "cwd")
    return tmp_path


def test_an_include_is_looked_for_beside_its_file(tree: Path):
    config = load([str(tree / "configs/variant.gin")])
    assert (config.get("models.Tiny.width"), config.get("models.Tiny.depth")) == (8, 2)


def test_a_file_is_found_by_search_path_and_by_package(tree: Path, monkeypatch: pytest.MonkeyPatch):
    assert load(["variant.gin"], search_paths=[str(tree / "configs")]).get("models.Tiny.depth") == 2
    (tree / "configs" / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tree))
    assert load(["configs:variant.gin"]).get("models.Tiny.depth") == 2
    assert load(["configs/variant.gin"]).get("models.Tiny.depth") == 2, "gin's own way to name a packaged file"


def test_the_current_directory_comes_before_the_search_paths(tree: Path):
    (tree / "cwd" / "variant.gin").write_text("include 'configs/base.gin'\nmodels.Tiny.depth = 3\n")
    with pytest.raises(ConfigError, match=r"no gin file 'configs/base.gin'"):
        load(["variant.gin"], search_paths=[str(tree / "configs")])
    assert load(["variant.gin"], search_paths=[str(tree)]).get("models.Tiny.depth") == 3


def test_a_missing_file_lists_where_it_was_looked_for_and_the_nearest_name(tree: Path):
    with pytest.raises(ConfigError) as caught:
        load(["varient.gin"], search_paths=[str(tree / "configs")])
    (fault,) = caught.value.faults
    assert fault.code == "missing-file"
    assert fault.help[0] == "did you mean variant.gin?"
    assert f"looked for {tree / 'cwd' / 'varient.gin'}" in fault.help
    assert f"looked for {tree / 'configs' / 'varient.gin'}" in fault.help


def test_a_run_directory_points_to_its_config(tree: Path):
    (tree / "cwd/runs/a").mkdir(parents=True)
    (tree / "cwd/runs/a/config.gin").touch()
    with pytest.raises(ConfigError, match=r"did you mean runs/a/config.gin"):
        load(["runs/a"])


def test_later_files_and_then_bindings_override(tree: Path):
    more = tree / "cwd" / "more.gin"
    more.write_text("models.Tiny.depth = 5\nmodels.Tiny.width = 9\n")
    config = load([str(tree / "configs/variant.gin"), "more.gin"], ["models.Tiny.width = 10\nmodels.Tiny.scale = 2.0"])
    assert [config.get(f"models.Tiny.{name}") for name in ("depth", "width", "scale")] == [5, 10, 2.0]


def test_a_file_included_twice_has_no_duplicates(tree: Path):
    (tree / "configs/twice.gin").write_text("include 'base.gin'\ninclude 'variant.gin'\n")
    assert load([str(tree / "configs/twice.gin")]).get("models.Tiny.depth") == 2
