"""Every fault of a config is found at once, with its place, its code and what to do."""

from pathlib import Path
from types import ModuleType

import pytest

from emprot_core.config import ConfigError, load, load_text


@pytest.mark.parametrize(
    ("text", "code", "message", "help"),
    [
        ("Trainer.mode = fast", "syntax", "'fast' is not a gin value", 'a string needs quotes: "fast"'),
        ("Trainer.max_epochs: 3", "syntax", "this is no statement", "gin binds with =: Trainer.max_epochs = 3"),
        ("Trainer.max_epochs == 3", "syntax", "this is no statement", "gin binds with =: Trainer.max_epochs = ..."),
        ("Trainer.max_epochs = 3;", "syntax", "this is no statement", "a line ends without ;"),
        ("Trainer.max_epochs", "syntax", "this is no statement", "give it a value: Trainer.max_epochs = ..."),
        ("Trainer.hooks = [@Clip() @Clip()]", "syntax", "Expected ',' or ']'", "put a comma between two items"),
        ("Trainer.loss = SquaredError", "syntax", "'SquaredError' is not a gin value", "mean @losses.SquaredError()?"),
        ("run.device = mps:0", "syntax", "'mps:0' is not a gin value", 'a string needs quotes: "mps:0"'),
        ("run.seed = 3x", "syntax", "'3x' is not a gin value", None),
        ("include 'a.gin,b.gin'", "missing-file", "there is no", "one file each: --gin_file=a.gin --gin_file=b.gin"),
        ("include ''", "missing-file", "there is no gin file ''", "name one: --gin_file=base.gin"),
        ("include 'nowhere:a.gin'", "missing-file", "there is no", "the package nowhere is not installed"),
        ("include 'bas.gin'", "missing-file", "there is no gin file 'bas.gin'", "did you mean base.gin?"),
        ("include 'bad.gin'", "include-cycle", "bad.gin includes itself", None),
        ("import toy_plugn", "import", "No module named 'toy_plugn'", "looked in the installed packages and in"),
        ("Trainer.model = @models.Tinny()", "unknown-component", "no component @models.Tinny()", "models.Tiny?"),
        ("models.Huge.width = 3", "unknown-component", "no component models.Huge", "models has Tiny, Wide"),
        ("Trainer.max_epoch = 3", "unknown-parameter", "no parameter 'max_epoch'", "did you mean Trainer.max_epochs?"),
        ("Trainer.learning_rate = 1", "unknown-parameter", "no parameter 'learning_rate'", "optimizers.sgd.learning_r"),
        ("sgd.parameters = []", "late-parameter", "sgd.parameters cannot be bound", "accepted: learning_rate:"),
        (
            "Trainer.optimizer = @sgd()",
            "call-style",
            "needs the model's parameters",
            "drop the parentheses: @optimizer",
        ),
        ("Trainer.model = @models.Tiny", "call-style", "is only its name", "add parentheses: @models.Tiny()"),
        ("Trainer.model = @optimizers.sgd", "kind", "wants a model (@models.Name()), got", "@models.Tiny()"),
        ("Trainer.hooks = [@Clip(), @models.Tiny()]", "kind", "got @models.Tiny(), a model", "@hooks.Clip()"),
        ("Train.trainer = @models.Tiny()", "kind", "wants Trainer, got @models.Tiny()", None),
        ("run.seed = @models.Tiny()", "kind", "wants int, got @models.Tiny()", None),
        ("Trainer.model = 'Tiny'", "type", "wants a model (@models.Name()), got 'Tiny' (str)", None),
        ("Trainer.max_epochs = 'ten'", "type", "wants int, got 'ten' (str)", None),
        ("Trainer.max_epochs = '10'", "type", "wants int, got '10' (str)", "without quotes: 10"),
        ("Trainer.optimizer = 'sgd'", "type", "wants an optimizer", "did you mean @optimizers.sgd?"),
        ("Trainer.optimizer = 'sdg'", "type", "wants an optimizer", "registered: @optimizers.adamw, @optimizers.sgd"),
        ("Trainer.mode = 'fats'", "type", "wants Literal['fast', 'exact'], got 'fats'", "did you mean 'fast'?"),
        ("Trainer.hooks = @Clip()", "kind", "wants Sequence[hook], got @hooks.Clip()", "in brackets: [@hooks.Clip()]"),
        ("SquaredError.weights = 2.0", "type", "wants list[float] | None, got 2.0", "in brackets: [2.0]"),
        ("Trainer.max_epochs = 1.5", "type", "wants int, got 1.5 (float)", None),
        ("Trainer.max_epochs = True", "type", "wants int, got True (bool)", None),
        ("Trainer.max_epochs = None", "type", "wants int, got None", None),
        ("run.device = 3", "type", "wants str, got 3 (int)", None),
        ("Trainer.mode = 'quick'", "type", "wants Literal['fast', 'exact'], got 'quick'", None),
        ("Trainer.options = {'a': 'b'}", "type", "wants float, got 'b'", None),
        ("Trainer.hooks = 'Clip'", "type", "wants Sequence[hook], got 'Clip'", None),
        ("Trainer.hooks = '@Clip()'", "type", "wants Sequence[hook]", "without quotes: @Clip()"),
        ("sgd.betas = [0.9, 0.99]", "type", "wants tuple[float, float]", "a tuple has parentheses: (0.9, 0.99)"),
        ("sgd.betas = (0.9, 0.99, 0.999)", "type", "wants tuple[float, float]", None),
        ("SquaredError.weights = (1.0,)", "type", "wants list[float] | None", "a list has brackets: [1.0]"),
        ("SquaredError.weights = [1.0, 'x']", "type", "wants float, got 'x' (str)", None),
        ("W = 'x'\nmodels.Tiny.width = %W", "type", "wants int, got 'x' (str)", "W is set at bad.gin:1"),
        ("Train.data = @data.Frames()", "missing", "data.Frames needs a value for path", "bind it: data.Frames.path ="),
        ("Trainer.max_steps = %STEPS", "undefined-macro", "%STEPS is not defined", "define it: STEPS = ..."),
        ("A = %B\nB = %A\nTrainer.max_steps = %A", "undefined-macro", "A is defined by itself", None),
        ("max_steps = 5", "bare-name", "max_steps = ... defines a macro", "did you mean Trainer.max_steps?"),
        ("WIDTH = 5\nWIDHT = 6\nrun.seed = %WIDTH", "bare-name", "WIDHT = ...", "did you mean WIDTH?"),
        ("Trainer = 5", "bare-name", "Trainer is a component", "Trainer.parameter = ..."),
        ("models.Tiny = 5", "bare-name", "models.Tiny is a component", "models.Tiny.parameter = ..."),
        ("Tiny.width = 5", "ambiguous", "Tiny may be any of mixings.Tiny, models.Tiny", "write one of these"),
        ("Trainer.model = @Tiny()", "ambiguous", "@Tiny() may be any of mixings.Tiny, models.Tiny", None),
        ("run.seed = 1\nrun.seed = 2", "duplicate", "run.seed is bound twice in one file: first in line 1", None),
        ("M = 1\nM = 2\nrun.seed = %M", "duplicate", "M is bound twice", None),
        (
            "models.Tiny.width = 3\ninclude 'base.gin'",
            "duplicate",
            "width has no effect: base.gin:5, which is",
            "below",
        ),
        ("models.Tiny.inner = @models.Tiny()", "reference-cycle", "models.Tiny -> models.Tiny", None),
        ("Clip.max_norm = 2.0", "unused", "no statement refers to hooks.Clip", "Trainer.hooks = [@hooks.Clip()]"),
        ("x/Trainer.mode = 'fast'", "unused", "nothing builds Trainer in the scope 'x'", "built: Trainer"),
        ("tarin/Trainer.max_epochs = 5", "unused", "nothing builds Trainer in the scope 'tarin'", "built: Trainer"),
    ],
)
def test_a_fault_has_its_code_message_and_help(faults_of, text: str, code: str, message: str, help: str | None):
    found = faults_of(text)
    assert {(fault.code, fault.location.file) for fault in found} == {(code, "bad.gin")}
    assert message in found[0].message
    assert help is None or help in "\n".join(found[0].help)


def test_a_wrong_value_of_a_macro_stands_where_the_macro_was_set_last(toy: ModuleType):
    Path("base.gin").write_text(toy.TRAINING.replace("width = 8", "width = %WIDTH") + "WIDTH = 8\n")
    Path("mine.gin").write_text("include 'base.gin'\nWIDTH = 'wide'\n")
    with pytest.raises(ConfigError) as caught:
        load(["mine.gin"])
    (fault,) = caught.value.faults
    assert (str(fault.location), fault.help) == ("mine.gin:2", ("%WIDTH is used at base.gin:5",))


@pytest.mark.parametrize("broken", ["import_error", "syntax_error", "raises"])
def test_a_file_that_cannot_be_read_or_imported_is_one_fault(toy: ModuleType, broken: str):
    text = {"import_error": "import nobody_has_this", "syntax_error": "def", "raises": "1 / 0"}[broken]
    Path("mine_broken.py").write_text(f"{text}\n")
    Path("base.gin").write_text("import mine_broken\n" + toy.TRAINING)
    with pytest.raises(ConfigError) as caught:
        load(["base.gin"])
    (fault,) = caught.value.faults
    assert fault.code == "import"
    assert "mine_broken.py:1" in fault.help[0]


def test_annotations_of_any_kind_are_understood(empty_registry: None):
    Path("odd_types.py").write_text(
        "from __future__ import annotations\nimport typing\nfrom typing import *\n"
        "from emprot_core.registry import register\n"
        "if TYPE_CHECKING:\n    from nowhere import Unknown\n"
        "Frames = NewType('Frames', int)\nT = TypeVar('T', bound=int)\nclass Options(TypedDict):\n    a: int\n"
        "class Named(Protocol):\n    name: str\n"
        "@register('model')\ndef count() -> int: ...\n"
        "@register('core', 'run')\nclass Run:\n"
        "    def __init__(self, job: Any, frames: Frames = 1, bound: T = 1, noted: Annotated[int, 'why'] = 1,\n"
        "                 options: Options = {}, named: Named = None, unknown: Unknown = None, word: str = ''): ...\n"
    )
    bound = "frames = 2\nbound = 2\nnoted = 2\noptions = {'a': 1}\nnamed = 'x'\nunknown = 3\n"
    sound = "import odd_types\nrun.job = 1\n" + "".join(f"run.{line}\n" for line in bound.splitlines())
    Path("base.gin").write_text(sound)
    load(["base.gin"])
    wrong = [
        "frames = 'x'",
        "bound = 'x'",
        "noted = 'x'",
        "options = 3",
        "word = 3",
        "frames = @count",
        "word = @count()",
    ]
    with pytest.raises(ConfigError) as caught:
        load(["base.gin"], [f"run.{line}" for line in wrong])
    assert [fault.location.text for fault in caught.value.faults] == [f"run.{line}" for line in wrong]


def test_fifteen_faults_of_one_file_are_reported_at_once(faults_of):
    text = """\
include 'bas.gin'
include 'bad.gin'
import toy_plugn
Trainer.max_epoch = 3
Trainer.max_steps = 'ten'
Trainer.mode = fast
Trainer.optimizer = @sgd()
Trainer.loss = @models.Wide()
sgd.parameters = []
Trainer.hooks = [@hooks.Clp()]
Train.data = @data.Frames()
Train.data = @data.Frames()
Tiny.width = 3
max_epochs = 5
run.seed = %SEED
models.Tiny.depth = [1
"""
    assert [(fault.location.line, fault.code) for fault in faults_of(text)] == [
        (1, "missing-file"),
        (2, "include-cycle"),
        (3, "import"),
        (4, "unknown-parameter"),
        (5, "type"),
        (6, "syntax"),
        (7, "call-style"),
        (8, "kind"),
        (9, "late-parameter"),
        (10, "unknown-component"),
        (12, "duplicate"),
        (12, "missing"),
        (13, "ambiguous"),
        (14, "bare-name"),
        (15, "undefined-macro"),
        (16, "syntax"),
    ]


def test_the_report_reads_as_documented(toy: ModuleType):
    Path("bad.gin").write_text(toy.TRAINING + "Trainer.max_epoch = 10\n")
    with pytest.raises(ConfigError) as caught:
        load(["bad.gin"])
    line = Path(toy.__file__).read_text().splitlines().index("class Trainer(Recorded):") - 1
    assert str(caught.value) == (
        "bad.gin:8: error[unknown-parameter]: Trainer has no parameter 'max_epoch'\n"
        "    Trainer.max_epoch = 10\n"
        "  help: did you mean Trainer.max_epochs?\n"
        "        accepted: model (required), loss (required), optimizer (required),\n"
        "        scheduler: scheduler | None = None, metrics: Sequence[metric] = (),\n"
        "        hooks: Sequence[hook] = (), max_epochs: int = 10, max_steps: int | None = None,\n"
        "        mode: Literal['fast', 'exact'] = 'fast', tolerance: float = 0.0,\n"
        "        options: dict[str, float] | None = None\n"
        f"        defined at toy_plugin.py:{line}\n"
        "1 problem; nothing was run. docs: faults#unknown-parameter"
    )


@pytest.mark.parametrize(
    "text",
    [
        "Trainer.tolerance = 1",  # an int where a float is meant
        "Trainer.max_steps = None",
        "Trainer.options = {'a': 1, 'b': 2.5}",
        "Trainer.hooks = (@Clip(), @Quiet())",
        "models.Tiny.attention = @attention.plain\nattention.plain.window = 3",
        "Trainer.scheduler = @constant\nconstant.floor = 0.1",
        "Train.data = @Frames()\nFrames.path = 'x'\nFrames.transform = @models.Tiny",
        "Train.note = @models.Tiny",  # Any: the class itself is a value too
        "Train.baselines = [@Guess()]\nGuess.alpha = 2",
        "big/models.Tiny.depth = 3\nTrainer.model = @big/models.Tiny()",
        "Trainer.model = @models.Tiny()\nmodels.Tiny.inner = @small/models.Tiny()\nsmall/models.Tiny.inner = None",
        "EPOCHS = 3\nTrainer.max_epochs = %EPOCHS",
    ],
)
def test_what_is_right_is_accepted(faults_of, text: str):
    assert faults_of(text) == []


def test_a_broken_plugin_is_named_where_its_component_is_wanted(toy: ModuleType):
    Path("broken.py").write_text("import a_library_nobody_has\n")
    Path("base.gin").write_text("import broken\n" + toy.TRAINING.replace("@models.Tiny()", "@models.Mine()"))
    with pytest.raises(ConfigError) as caught:
        load(["base.gin"])
    assert [fault.code for fault in caught.value.faults] == ["import", "unknown-component"]
    assert "perhaps of the plugin broken, which failed to import" in "\n".join(caught.value.faults[1].help)


def test_an_error_inside_a_plugin_is_located_in_the_plugin(toy: ModuleType):
    Path("broken.py").write_text("\n\nx = 1 / 0\n")
    Path("base.gin").write_text("import broken\n" + toy.TRAINING)
    with pytest.raises(ConfigError) as caught:
        load(["base.gin"])
    (fault,) = caught.value.faults
    assert fault.message == "import broken failed: ZeroDivisionError: division by zero"
    assert fault.help[0].endswith("broken.py:3")


def test_trap_11_a_text_read_back_may_import_registered_plugins_only(toy: ModuleType):
    Path("mine.py").write_text("raise SystemExit('this must not run')\n")
    with pytest.raises(ConfigError, match="mine is no registered plugin"):
        load_text("import mine\n" + toy.TRAINING)
    assert load_text("import toy_plugin\n" + toy.TRAINING).get("models.Tiny.width") == 8


def test_faults_of_bindings_are_located_by_their_number(toy: ModuleType):
    Path("base.gin").write_text(toy.TRAINING)
    with pytest.raises(ConfigError) as caught:
        load(["base.gin"], ["run.seed = 1", "run.device = cuda"])
    (fault,) = caught.value.faults
    assert str(fault).startswith(
        "--gin_bindings[1]:1: error[syntax]: 'cuda' is not a gin value\n    run.device = cuda\n"
    )
    assert 'a string needs quotes: "cuda"' in str(fault)
