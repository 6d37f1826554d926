"""What only the whole config shows: bindings that nothing uses, and values that are missing."""

from pathlib import Path
from types import ModuleType

import pytest

from emprot_core.config import ConfigError, load


@pytest.mark.parametrize(
    "binding",
    [
        "Trainer.optimizer = @optimizers.adamw",
        "Trainer.hooks = [@hooks.Quiet()]",
        "Trainer.model = @models.Wide()",
        "run.job = @jobs.Score()",
        "LOSS = None\nTrain.trainer = @other/Trainer()",
    ],
)
def test_what_a_later_statement_displaces_is_never_unused(toy: ModuleType, binding: str):
    Path("base.gin").write_text(
        toy.TRAINING + "sgd.betas = (0.1, 0.2)\nTrainer.hooks = %HOOKS\nHOOKS = [@hooks.Clip()]\nClip.max_norm = 2.0\n"
        "run.directory = 'x'\nLOSS = 3\nTrain.note = %LOSS\n"
    )
    load(["base.gin"], [binding])


def test_unused_bindings_can_be_allowed(toy: ModuleType):
    Path("base.gin").write_text(toy.TRAINING + "Clip.max_norm = 2.0\n")
    config = load(["base.gin"], allow_unused=True)
    assert [str(warning).splitlines()[0] for warning in config.warnings] == [
        "base.gin:8: warning[unused]: no statement refers to hooks.Clip, so this is never used"
    ]
    assert "Clip" not in config.text()


def test_only_the_head_of_an_unused_chain_is_reported(faults_of):
    found = faults_of("Frames.path = 'x'\nFrames.split = @ByTime()\nByTime.train = 0.5\n")
    assert [(fault.code, fault.location.line) for fault in found] == [("unused", 1)]


def test_unused_is_not_reported_while_a_reference_is_broken(faults_of):
    found = faults_of("Trainer.hooks = [@hooks.Clap()]\nClip.max_norm = 2.0\n")
    assert [fault.code for fault in found] == ["unknown-component"]


def test_a_misspelt_parameter_is_not_called_missing_as_well(toy: ModuleType):
    Path("base.gin").write_text(toy.TRAINING.replace("Tiny.width", "Tiny.widht"))
    with pytest.raises(ConfigError) as caught:
        load(["base.gin"])
    assert [fault.code for fault in caught.value.faults] == ["unknown-parameter"]


def test_an_unreadable_value_is_not_called_missing_as_well(toy: ModuleType):
    Path("base.gin").write_text(toy.TRAINING.replace("width = 8", "width = eight"))
    with pytest.raises(ConfigError) as caught:
        load(["base.gin"])
    assert [fault.code for fault in caught.value.faults] == ["syntax"]


def test_a_missing_value_stands_where_the_component_is_referred_to(toy: ModuleType):
    Path("base.gin").write_text(toy.TRAINING.replace("models.Tiny.width = 8\n", ""))
    with pytest.raises(ConfigError) as caught:
        load(["base.gin"])
    (fault,) = caught.value.faults
    assert (fault.code, fault.location.line) == ("missing", 4)
    assert fault.message == "models.Tiny needs a value for width"


def test_a_trainer_that_is_missing_or_never_used_is_named_where_it_belongs(toy: ModuleType):
    Path("base.gin").write_text(toy.TRAINING.replace("Train.trainer = @Trainer()\n", ""))
    with pytest.raises(ConfigError) as caught:
        load(["base.gin"])
    missing, unused = caught.value.faults
    assert (missing.code, missing.help[0]) == ("missing", "bind it: jobs.Train.trainer = @Trainer()")
    assert (unused.code, unused.help[0]) == ("unused", "refer to it: jobs.Train.trainer = @Trainer()")


def test_a_config_without_a_job_says_so(toy: ModuleType):
    Path("base.gin").write_text("run.seed = 3\n")
    with pytest.raises(ConfigError) as caught:
        load(["base.gin"])
    assert str(caught.value).startswith("base.gin: error[missing]: run needs a value for job\n")
    assert "bind it: run.job = @jobs.Name()" in str(caught.value)


def test_a_required_macro_must_be_overridden(toy: ModuleType):
    Path("base.gin").write_text(toy.TRAINING.replace("width = 8", "width = %gin.REQUIRED"))
    with pytest.raises(ConfigError, match=r"models.Tiny.width must be overridden"):
        load(["base.gin"])
    assert load(["base.gin"], ["models.Tiny.width = 4"]).build("Trainer.model").width == 4


def test_a_required_macro_behind_another_macro_must_be_overridden_as_well(toy: ModuleType):
    Path("base.gin").write_text(toy.TRAINING.replace("width = 8", "width = %WIDTH") + "WIDTH = %gin.REQUIRED\n")
    with pytest.raises(ConfigError, match=r"models.Tiny.width must be overridden"):
        load(["base.gin"])
    assert load(["base.gin"], ["WIDTH = 4"]).build("Trainer.model").width == 4
