"""README.md of a run says what was trained, how it was judged, and what that does not say."""

from pathlib import Path

import pytest
from run_commands import DEBUG, bind, result

from emprot_core.cli import main
from emprot_core.files import sha256
from emprot_core.jobs.verify import verify_run

pytestmark = pytest.mark.usefixtures("in_an_empty_directory")
CARD = Path("runs/debug/README.md")


def run(*arguments: str) -> str:
    assert main([DEBUG, "Trainer.max_steps=2", *arguments]) == 0
    return CARD.read_text()


def test_the_card_tells_model_data_verdict_limits_and_command() -> None:
    card = run(*bind("Train.baselines=[@baselines.markov()]"))
    assert card.startswith("# debug\n\nProteinTransformerClassificationOnly with 14,464 parameters")
    assert "- train: P28222 (165 frames)" in card
    assert "Verdict: worse than markov, the best baseline, at every horizon." in card
    assert "markov  3." in card
    assert "it means something on the proteins of training alone" in card
    assert "says nothing about other proteins" in card
    assert "emprot-run --gin_file=config.gin run.directory=again" in card


def test_the_command_of_the_card_is_sound(monkeypatch) -> None:
    run(*bind("Train.baselines=[]"))
    monkeypatch.chdir("runs/debug")
    assert main(["--gin_file=config.gin", "run.directory=again", "--check"]) == 0


def test_the_card_is_hashed_and_verified() -> None:
    run(*bind("Train.baselines=[]"))
    assert result()["files"]["README.md"] == sha256(CARD)
    CARD.write_text(CARD.read_text() + "better\n")
    assert any(line.startswith("README.md: damaged") for line in verify_run("runs/debug"))


def test_a_run_without_test_windows_says_that_it_was_not_judged() -> None:
    card = run(*bind("Train.baselines=[]", "ByTime.test=0.0"))
    assert "was not judged" in card
    assert "one protein or none" in card
