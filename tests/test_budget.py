"""How much code there is: the house stays small enough to read in an afternoon.

A line of code has a token outside docstrings and comments. The bounds only fall. A change that has to raise one says in
its commit what the lines buy.
"""

import ast
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest
from places import CORE, PLUGINS, ROOT

MAX_LINES_IN_A_FILE = 200
MAX_CODE_LINES_IN_A_FUNCTION = 40
MAX_CODE_LINES = {
    "emprot_core": 9085,
    "emprot_core/checkpoint": 213,
    "emprot_core/config": 1693,
    "emprot_core/data": 1097,
    "emprot_core/evaluation": 1105,
    "emprot_core/hooks": 156,
    "emprot_core/jobs": 2067,
    "emprot_core/kernels": 156,
    "emprot_core/training": 679,
    "plugins": 10879,
}
NO_CODE = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)
FILES = sorted(path for folder in (CORE, PLUGINS, ROOT / "benchmarks", ROOT / "pages") for path in folder.rglob("*.py"))


def code_lines(path: Path) -> set[int]:
    """Numbers of the lines that hold a token outside docstrings and comments."""
    with path.open("rb") as file:
        tokens = [
            token for token in tokenize.tokenize(file.readline) if token.type not in (*NO_CODE, tokenize.ENCODING)
        ]
    lines = {line for token in tokens for line in range(token.start[0], token.end[0] + 1)}
    return lines - set(docstring_lines(ast.parse(path.read_text())))


def docstring_lines(tree: ast.AST) -> Iterator[int]:
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if (
            isinstance(body, list)
            and body
            and isinstance(body[0], ast.Expr)
            and isinstance(body[0].value, ast.Constant)
        ):
            yield from range(body[0].lineno, (body[0].end_lineno or 0) + 1)


def test_no_folder_has_more_code_than_its_bound() -> None:
    counted = {
        folder: sum(len(code_lines(path)) for path in (ROOT / folder).rglob("*.py")) for folder in MAX_CODE_LINES
    }
    over = {
        folder: f"{count}, at most {MAX_CODE_LINES[folder]}"
        for folder, count in counted.items()
        if count > MAX_CODE_LINES[folder]
    }
    assert not over


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_are_small_enough_to_read(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= MAX_LINES_IN_A_FILE
    code = code_lines(path)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            length = len(code & set(range(node.lineno, (node.end_lineno or 0) + 1)))
            assert length <= MAX_CODE_LINES_IN_A_FUNCTION, f"{node.name} has {length} lines of code"
