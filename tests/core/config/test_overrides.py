"""Overrides on the command line: Name.parameter=value, where a word without quotes may be a string."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from emprot_core.cli import main
from emprot_core.config import Config, ConfigError, Fault, load


@pytest.fixture
def override(toy: ModuleType) -> Callable[..., Config]:
    """The sound config with overrides."""

    def make(*overrides: str, bindings: tuple[str, ...] = ()) -> Config:
        Path("base.gin").write_text(toy.TRAINING)
        return load(["base.gin"], bindings, overrides=overrides)

    return make


def faults(override: Callable[..., Config], *overrides: str) -> list[Fault]:
    with pytest.raises(ConfigError) as caught:
        override(*overrides)
    return list(caught.value.faults)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("run.device=cpu", "cpu"),
        ("run.device = cuda:1", "cuda:1"),
        ("run.directory=runs/2024-01-02_a.b", "runs/2024-01-02_a.b"),
        ("run.directory=/scratch/x=3", "/scratch/x=3"),
        ("run.directory=../x", "../x"),
        ("run.directory=1/3", "1/3"),
        ("run.device=true", "true"),
        ("run.directory={protein}_{run}.xtc", "{protein}_{run}.xtc"),
        ("run.directory={protein}", "{protein}"),
        ("run.directory=*_trj_{dyn}.xtc", "*_trj_{dyn}.xtc"),
        ("Trainer.mode=exact", "exact"),
        ("data.Frames.path=sample:threedi", "sample:threedi"),
        ("run.directory=None", None),
        ("run.directory='quoted # text'", "quoted # text"),
        ("Trainer.max_epochs=3", 3),
        ("x/Trainer.options={'a': 1}", {"a": 1}),
    ],
)
def test_a_word_is_a_string_where_the_parameter_takes_one(override, text: str, value: object):
    config = override(text, "Train.data=@Frames()", "Frames.path='y'", "Train.trainer=@x/Trainer()", text)
    assert config.get(text.partition("=")[0].strip()) == value


@pytest.mark.parametrize(
    ("text", "message", "help"),
    [
        ("Trainer.max_epochs=ten", "'ten' is not a gin value", "wanted: max_epochs: int = 10"),
        ("Trainer.tolerance=1/3", "'1/3' is not a gin value", "gin does no arithmetic: write the number"),
        ("run.allow_config_change=true", "'true' is not a gin value", "Python spells it True"),
        ("Train.note=word", "'word' is not a gin value", "the shell removes one pair of quotes: 'Train.note=\"word\"'"),
        ("Trainer.max_epochs={ten}", "'ten' is not a gin value", 'a string needs quotes: "ten"'),
        ("run.directory={ten", "'{' is never closed", "close it with '}'"),
        ("Trainer.optimizer=sgd", "'sgd' is not a gin value", "did you mean @optimizers.sgd?"),
        ("Trainer.model=models.Tiny", "'models.Tiny' is not a gin value", "did you mean @models.Tiny()?"),
        ("Trainer.mode=exakt", "wants Literal['fast', 'exact'], got 'exakt' (str)", "did you mean 'exact'?"),
        ("STEM=word", "'word' is not a gin value", 'a string needs quotes: "word"'),
        ("Trainer.max_epoch=3", "Trainer has no parameter 'max_epoch'", "did you mean Trainer.max_epochs?"),
        ("max_epochs=3", "max_epochs = ... defines a macro that nothing uses", "did you mean Trainer.max_epochs?"),
    ],
)
def test_what_an_override_gets_wrong_is_told_with_what_was_wanted(override, text: str, message: str, help: str):
    (fault,) = faults(override, text)
    assert str(fault).startswith(f"command line: error[{fault.code}]: ")
    assert message in fault.message
    assert help in "\n".join(fault.help)
    assert fault.location.text == text


def test_a_word_in_a_file_or_in_gin_bindings_stays_a_fault(override):
    with pytest.raises(ConfigError, match="'cpu' is not a gin value"):
        override(bindings=("run.device=cpu",))
    Path("base.gin").write_text(Path("base.gin").read_text() + "run.device = cpu\n")
    with pytest.raises(ConfigError, match="'cpu' is not a gin value"):
        load(["base.gin"])


def test_overrides_win_over_gin_bindings_and_the_last_of_them_over_the_others(override):
    config = override("run.seed=2", "run.seed=3", bindings=("run.seed = 1", "Trainer.max_epochs = 1"))
    assert (config.get("run.seed"), config.get("Trainer.max_epochs")) == (3, 1)


def test_the_digest_and_the_text_are_those_of_the_quoted_form(override):
    plain, quoted = override("Trainer.mode=exact"), override("Trainer.mode='exact'")
    assert plain.digest() == quoted.digest()
    assert plain.text() == quoted.text()


@pytest.mark.parametrize(
    "arguments",
    [
        ["run.device=cpu", "Trainer.max_epochs=3"],
        ["--gin.run.device=cpu", "--gin.Trainer.max_epochs=3"],
        ["--check", "--gin.run.device = cpu", "Trainer.max_epochs = 3", "--allow_unused"],
    ],
)
def test_overrides_may_stand_anywhere_and_begin_with_gin(
    toy: ModuleType, arguments: list[str], capsys: pytest.CaptureFixture[str]
):
    Path("base.gin").write_text(toy.TRAINING)
    show = [] if "--check" in arguments else ["--print_config"]
    assert main([*arguments[:1], "--gin_file=base.gin", *arguments[1:], *show]) == 0
    captured = capsys.readouterr()
    assert not captured.err
    if show:
        placed = [line.split("  ")[0] for line in captured.out.splitlines() if line.endswith("  # command line")]
        assert placed == ["run.device = 'cpu'", "Trainer.max_epochs = 3"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--gin.Trainer.max_epochs", "3"], "--gin.Trainer.max_epochs has no value; write --gin.Trainer.max_epochs="),
        (["--Trainer.max_epochs=3"], "an override has no dashes: Trainer.max_epochs=3"),
        (["Trainer.max_epochs", "=", "3"], "an override is one word: Trainer.max_epochs=value"),
        (["base.gin", "Trainer.max_epochs=3"], "did you mean --gin_file=base.gin?"),
        (["--config", "base.gin"], "did you mean --gin_file=base.gin?"),
        (["--config=base.gin"], "did you mean --gin_file=base.gin?"),
        (["Trainer.max_epochs=3"], "--gin_file is missing"),
    ],
)
def test_a_wrong_override_on_the_command_line_says_how_to_write_it(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
):
    assert main(arguments) == 2
    assert message in capsys.readouterr().err
