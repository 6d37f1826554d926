"""The shipped gin files: each is sound, and its header says what a reader needs."""

from pathlib import Path

import pytest

from emprot_core.cli import main

FILES = sorted((Path(__file__).parent.parent / "gin_configs").glob("*.gin"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_shipped_file_passes_the_check_from_any_directory(path: Path, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([f"--gin_file={path.name}", "--check"]) == 0


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_header_gives_a_purpose_and_the_command(path: Path) -> None:
    header = path.read_text().split("\n\n")[0].splitlines()
    assert all(line.startswith("#") for line in header)
    assert any(f"emprot-run --gin_file={path.name}" in line for line in header)
