"""What a user gets wrong: one message, no traceback."""

import sys

import pytest
from run_commands import DEBUG, bind

from emprot_core.cli import main

pytestmark = pytest.mark.usefixtures("in_an_empty_directory")


@pytest.mark.parametrize(
    ("bindings", "status", "message"),
    [
        (["TrajectoryWindows.store='nowhere'"], 1, "nowhere is not a trajectory store"),
        (["TrajectoryWindows.store='sample:dspp'"], 1, "there is no sample 'dspp'"),
        (["NUM_CLUSTERS=20"], 1, "the vocabulary kmeans_environment has 256; bind NUM_CLUSTERS = 256"),
        (["ByTime.validation=0.0", "TrajectoryWindows.history=200"], 1, "the train split has no windows"),
        (["run.device='gpu'"], 1, "run.device is 'gpu'"),
        (["adamw.learning_rat=1.0"], 2, "did you mean"),
        (["Trainer.optimizer=@optimizers.sdg"], 2, "sgd"),
    ],
)
def test_a_users_mistake_is_one_message_without_a_traceback(capsys, bindings, status: int, message: str) -> None:
    assert main([DEBUG, *bind(*bindings)]) == status
    errors = capsys.readouterr().err
    assert message in errors
    assert "Traceback" not in errors


def test_a_missing_gin_file_is_named_with_the_nearest(capsys) -> None:
    assert main(["--gin_file=debg.gin"]) == 2
    assert "debug.gin" in capsys.readouterr().err


def test_a_missing_extra_is_named_without_a_traceback(capsys, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "mini3di", None)
    assert main(["--gin_file=prepare_sample.gin"]) == 1
    errors = capsys.readouterr().err
    assert "pip install 'emprot[threedi]'" in errors
    assert "Traceback" not in errors
