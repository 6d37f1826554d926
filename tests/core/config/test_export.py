"""--export: a component or a whole config as a commented gin file that parses and can be fed back."""

import re
from pathlib import Path
from types import ModuleType

import pytest
from places import GIN_CONFIGS

from emprot_core import registry
from emprot_core.cli import main
from emprot_core.config import ConfigError, load
from emprot_core.config.export import export_component, export_config
from emprot_core.config.statements import parse

FILES = sorted(path.name for path in GIN_CONFIGS.glob("*.gin"))


def codes(text: str) -> set[str]:
    """Codes of the faults of a config that is this text."""
    Path("exported.gin").write_text(text)
    try:
        load(["exported.gin"])
    except ConfigError as error:
        return {fault.code for fault in error.faults}
    return set()


def uncommented(text: str) -> str:
    """The text with every default that stands as a comment made a statement."""
    return re.sub(r"^#(?! )", "", text, flags=re.MULTILINE)


@pytest.fixture
def empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("selector", [entry.short_selector for entry in registry.entries()])
def test_the_export_of_every_component_parses_and_its_defaults_are_values(selector: str, empty_directory: None):
    text = export_component(selector)
    assert parse(text, "x.gin").faults == []
    assert codes(text) <= {"missing", "unused"}
    assert codes(uncommented(text)) <= {"missing", "unused"}
    assert max(map(len, text.splitlines())) <= 120


@pytest.mark.parametrize("name", FILES)
def test_the_export_of_a_shipped_file_is_the_same_config(name: str, empty_directory: None):
    config = load([name])
    text = export_config(config)
    Path("exported.gin").write_text(text)
    assert load(["exported.gin"]).digest() == config.digest()
    assert codes(uncommented(text)) == set()


def test_the_export_of_a_component_is_a_manual(toy: ModuleType):
    line = Path(toy.__file__).read_text().splitlines().index("class Trainer(Recorded):") - 1
    assert export_component("Trainer").splitlines()[4:12] == [
        "jobs.Train.trainer = @Trainer()",
        "",
        f"# Trainer (core, toy_plugin.py:{line}): Trains a model.",
        "# model, required, one of @models.Tiny() @models.Wide(): what is trained.",
        "Trainer.model = %gin.REQUIRED",
        "# loss, required, one of @losses.SquaredError()",
        "Trainer.loss = %gin.REQUIRED",
        "# optimizer, required, one of @optimizers.adamw @optimizers.sgd",
    ]
    assert "# int\n#Trainer.max_epochs = 10\n" in export_component("Trainer")


def test_the_check_lists_what_is_still_required(toy: ModuleType):
    Path("mine.gin").write_text(export_component("jobs.Train"))
    with pytest.raises(ConfigError) as caught:
        load(["mine.gin"])
    assert [fault.message for fault in caught.value.faults] == [
        f"Trainer.{name} must be overridden: it is %gin.REQUIRED" for name in ("model", "loss", "optimizer")
    ]
    load(["mine.gin"], ["Trainer.model = @models.Tiny()\nmodels.Tiny.width = 3"], overrides=[
        "Trainer.loss=@SquaredError()", "Trainer.optimizer=@sgd",
    ])  # fmt: skip


def test_an_exported_component_is_used_unless_it_would_displace_others_from_a_list(toy: ModuleType):
    Path("base.gin").write_text(toy.TRAINING)
    Path("adamw.gin").write_text(uncommented(export_component("adamw")).replace("0.001", "0.5"))
    factory = load(["base.gin", "adamw.gin"]).build("Trainer.optimizer")
    assert factory("weights") == ("adamw", "weights", 0.5)
    assert "# used as Trainer.hooks = [..., @hooks.Clip()]\n" in export_component("hooks.Clip")


def test_the_export_of_a_config_keeps_macros_comments_scopes_and_plugins(toy: ModuleType):
    Path("base.gin").write_text(
        "import toy_plugin\nWIDTH = 3  # residues\n" + toy.TRAINING.replace("width = 8", "width = %WIDTH  # why")
        + "Trainer.hooks = [@a/Clip(), @b/Clip()]\na/Clip.max_norm = 1.5\nb/Clip.max_norm = 2.5\n"
    )  # fmt: skip
    text = export_config(load(["base.gin"], overrides=["run.directory=runs/x"]))
    for line in (
        "import toy_plugin", "WIDTH = 3  # residues", "models.Tiny.width = %WIDTH  # why", "run.directory = 'runs/x'",
        "a/hooks.Clip.max_norm = 1.5", "b/hooks.Clip.max_norm = 2.5", "#Trainer.scheduler = None",
    ):  # fmt: skip
        assert line in text.splitlines()
    assert "#hooks.Clip.max_norm" not in text


def test_a_default_that_gin_cannot_write_stands_in_words(
    empty_registry: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.syspath_prepend(tmp_path)
    Path("odd.py").write_text(
        "from emprot_core.registry import register\n@register('model')\nclass Odd:\n"
        "    def __init__(self, function=len, number: float = float('nan'), *, size: int = 1):\n        pass\n"
    )
    registry.import_plugin("odd")
    text = export_component("Odd", ["odd"])
    assert text.splitlines()[4:] == [
        "import odd", "", "", "# models.Odd (model, odd.py:2): (no docstring)", "# default len",
        "# float, default nan", "# int", "#models.Odd.size = 1",
    ]  # fmt: skip


def test_export_on_the_command_line(toy: ModuleType, capsys: pytest.CaptureFixture[str]):
    Path("base.gin").write_text(toy.TRAINING)
    assert main(["--export", "base.gin", "Trainer.mode=exact"]) == 0
    assert "Trainer.mode = 'exact'" in capsys.readouterr().out.splitlines()
    assert main(["--export=models.Tiny", "--plugin=toy_plugin"]) == 0
    assert "import toy_plugin" in capsys.readouterr().out.splitlines()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--export=models.Tny"], "did you mean models.Tiny?"),
        (["--export=bse.gin"], "did you mean base.gin?"),
        (["--export=Tiny"], "Tiny may be any of mixings.Tiny, models.Tiny"),
        (["--export=models.Tiny", "--gin_file=base.gin"], "shows a component alone"),
        (["--export=base.gin", "Trainer.max_epoch=3"], "did you mean Trainer.max_epochs?"),
    ],
)
def test_a_wrong_export_says_what_to_do(
    toy: ModuleType, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
):
    Path("base.gin").write_text(toy.TRAINING)
    assert main(arguments) == 2
    assert message in capsys.readouterr().err
