"""A config as text that feeds back, as a digest, and as names and values."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from emprot_core import registry
from emprot_core.config import Config, load, load_text

RICH = """
WIDTH = 12
HOOKS = [@hooks.Clip(), @s/hooks.Clip()]
models.Tiny.width = %WIDTH
models.Tiny.attention = @attention.plain
plain.window = 3
models.Tiny.inner = @in/models.Tiny()
in/models.Tiny.inner = None
Trainer.hooks = %HOOKS
HOOKS/hooks.Clip.max_norm = 0.5
s/hooks.Clip.max_norm = 2.5
Trainer.options = {'a': 1.0, 'b': 1e-12}
Trainer.mode = 'exact'
sgd.betas = (0.5, 0.25)
Train.data = @Frames()
Frames.path = 'a "quoted" \\\\ path'
Frames.split = @ByTime()
run.directory = 'runs/rich'
adamw.learning_rate = 0.5
"""


@pytest.fixture
def config_of(toy: ModuleType):
    """The config of the sound text followed by some text."""

    def make(text: str = "", *bindings: str) -> Config:
        Path("base.gin").write_text(f"{toy.TRAINING}Trainer.scheduler = @constant\nTrain.note = @optimizers.adamw\n")
        Path("more.gin").write_text(text)
        return load(["base.gin", "more.gin"], bindings)

    return make


def test_the_text_feeds_back_to_the_same_objects_and_digest(config_of):
    config = config_of(RICH, "Train.note = None")
    again = load_text(config.text())
    assert again.digest() == config.digest()
    assert again.text() == config.text()
    assert str(again.build("run.job")) == str(config.build("run.job"))


def test_the_text_names_no_run_directory_and_nothing_that_is_not_built(config_of):
    text = config_of(RICH, "Train.note = None").text()
    assert "run.directory" not in text
    assert "adamw" not in text
    assert "emprot.models.Tiny.width = %WIDTH" in text, "macros stay, so that one line changes them"


def test_the_text_keeps_lines_short_enough_to_read(config_of):
    text = config_of("Trainer.hooks = [@Clip(), @Clip(), @Clip(), @Clip(), @Clip(), @Clip()]").text()
    assert "emprot.Trainer.hooks = [\n    @emprot.hooks.Clip(),\n" in text


def test_trap_8_the_text_feeds_back_in_a_fresh_process_beside_a_plugin_with_the_same_short_names(
    config_of, toy: ModuleType, tmp_path: Path
):
    config = config_of(RICH, "import toy_plugin")
    Path("rival.py").write_text(
        "from emprot_core.registry import register\n"
        "@register('baseline', 'Trainer')\nclass A: ...\n@register('baseline', 'sgd')\nclass B: ...\n"
    )
    Path("config.gin").write_text(config.text())
    code = (
        "import json; from emprot_core import registry; registry._loaded = True\n"
        "from emprot_core.config import load\n"
        "config = load(['config.gin'], plugins=['rival'])\n"
        "print(json.dumps([config.digest(), config.build('run.job').trainer.model.inner.width]))\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert child.returncode == 0, child.stderr
    assert json.loads(child.stdout) == [config.digest(), 12]


def test_the_text_imports_the_modules_of_a_plugin_package(toy: ModuleType, tmp_path: Path):
    package = tmp_path / "parts"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "mine.py").write_text("from emprot_core.registry import register\n@register('model')\nclass Mine: ...\n")
    Path("base.gin").write_text(
        toy.TRAINING.replace("models.Tiny()", "models.Mine()").replace("models.Tiny.width = 8", "")
    )
    config = load(["base.gin"], plugins=["parts"])
    assert config.text().startswith("import parts\nimport parts.mine\n")
    assert load_text(config.text()).digest() == config.digest()
    assert "parts.mine" in registry.plugins()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("W = 3\nmodels.Tiny.width = %W", "models.Tiny.width = 3"),
        ("H = [@Clip()]\nTrainer.hooks = %H", "Trainer.hooks = [@hooks.Clip()]"),
        ("run.seed = 1\nTrainer.max_epochs = 2", "Trainer.max_epochs = 2\nrun.seed = 1"),
        ("a/models.Tiny.depth = 2\nTrainer.model = @a/models.Tiny()", "models.Tiny.depth = 2"),
        ("models.Tiny:\n  width = 3\n  depth = 4", "emprot.models.Tiny.width = 3\nmodels.Tiny.depth = 4"),
        ("run.directory = 'a'\nrun.device = 'cpu'", "run.allow_config_change = True"),
        ("adamw.learning_rate = 0.5\nTrain.note = None", "Train.note = None"),
    ],
)
def test_configs_that_give_the_same_result_have_one_digest(config_of, one: str, other: str):
    assert config_of(one).digest() == config_of(other).digest()


@pytest.mark.parametrize(
    "change",
    [
        "models.Tiny.width = 9",
        "Trainer.tolerance = 1e-9",
        "Trainer.optimizer = @optimizers.adamw",
        "sgd.learning_rate = 0.2",
        "Trainer.hooks = [@Clip()]",
        "Trainer.options = {'a': 1.0}",
        "run.seed = 1",
        "Train.note = (1, 2)",
        "Train.note = [1, 2]",
        "Train.note = '1'",
        "Train.note = 1",
        "Train.note = @models.Tiny",
        "Train.note = @models.Tiny()",
    ],
)
def test_configs_that_may_differ_in_the_result_have_other_digests(config_of, change: str):
    others = {config_of().digest(), config_of("Train.note = [1, '2']").digest()}
    assert config_of(change).digest() not in others


def test_the_digest_stays_what_it_was(config_of):
    """Runs on disk are compared by it: a change here makes every unfinished run refuse to go on."""
    assert config_of(RICH, "Train.note = None").digest()[:16] == "f47c494027ca7a2d"


def test_the_operative_text_has_every_parameter_of_what_was_built(config_of):
    config = config_of(RICH, "Train.note = None")
    assert config.operative_text() == ""
    config.build("Trainer.model")
    config.build("Trainer.optimizer")
    assert config.operative_text() == (
        "emprot.models.Tiny.width = 12\n"
        "emprot.models.Tiny.depth = 1\n"
        "emprot.models.Tiny.attention = @emprot.attention.plain\n"
        "emprot.models.Tiny.inner = @in/emprot.models.Tiny()\n"
        "emprot.models.Tiny.scale = 1.0\n"
        "\n"
        "emprot.attention.plain.window = 3\n"
        "\n"
        "in/emprot.models.Tiny.width = 12\n"
        "in/emprot.models.Tiny.depth = 1\n"
        "in/emprot.models.Tiny.attention = @emprot.attention.plain\n"
        "in/emprot.models.Tiny.inner = None\n"
        "in/emprot.models.Tiny.scale = 1.0\n"
        "\n"
        "in/emprot.attention.plain.window = 3\n"
        "\n"
        "emprot.optimizers.sgd.learning_rate = 0.1\n"
        "emprot.optimizers.sgd.betas = (0.5, 0.25)\n"
    )


def test_the_operative_text_writes_what_gin_cannot_as_comments(empty_registry: None):
    Path("odd.py").write_text(
        "from dataclasses import dataclass\nfrom pathlib import Path\nfrom typing import Any\n"
        "from emprot_core.registry import register\n"
        "@register('core', 'run')\n@dataclass\nclass Run:\n    job: Any\n    nan: float = float('nan')\n"
        "    path: Path = Path('x')\n    function: Any = len\n    inf: float = float('inf')\n"
    )
    Path("base.gin").write_text("import odd\nrun.job = 1\n")
    config = load(["base.gin"])
    config.parameters("run")
    assert config.operative_text().splitlines() == [
        "emprot.run.job = 1",
        "# emprot.run.nan = nan",
        "# emprot.run.path = PosixPath('x')",
        "# emprot.run.function = <built-in function len>",
        "emprot.run.inf = 1e999",
    ]


def test_flat_names_every_binding_that_counts(config_of):
    flat = config_of(RICH, "Train.note = None").flat()
    assert flat["models.Tiny.width"] == "12"
    assert flat["Trainer.hooks"] == "[@hooks.Clip(), @s/hooks.Clip()]"
    assert flat["HOOKS/hooks.Clip.max_norm"] == "0.5"
    assert flat["Trainer.mode"] == "'exact'"
    assert not [key for key in flat if "adamw" in key]


def test_a_difference_says_what_changes_and_leaves_out_what_does_not_count(config_of):
    old = config_of("Trainer.max_epochs = 6\nsgd.learning_rate = 0.2")
    new = config_of("Trainer.max_epochs = 10\nrun.directory = 'x'\nrun.seed = 1")
    assert old.difference(new) == [
        "Trainer.max_epochs: 6 -> 10",
        "optimizers.sgd.learning_rate: 0.2 -> not bound",
        "run.seed: not bound -> 1",
    ]
    assert old.difference(old) == []
