"""Objects built from a config: scopes as gin has them, factories, laziness, and errors that know their place."""

import functools
import itertools
import traceback
from pathlib import Path
from types import ModuleType

import gin
import pytest

from emprot_core import registry
from emprot_core.config import Config, load, load_text
from emprot_core.errors import EmprotError

SCOPED = {
    "a binding without scope is seen in every scope": """
        models.Tiny.width = 1
        big/models.Tiny.depth = 5
        Trainer.model = @big/models.Tiny()
        """,
    "a binding in an inner scope wins over the outer ones": """
        models.Tiny.width = 1
        a/models.Tiny.width = 2
        a/b/models.Tiny.width = 3
        Trainer.model = @a/b/models.Tiny()
        """,
    "only scopes from the outermost on count": """
        models.Tiny.width = 1
        b/models.Tiny.width = 2
        Trainer.model = @a/b/models.Tiny()
        """,
    "a reference without scope inherits that of its holder": """
        models.Tiny.width = 1
        Train.trainer = @x/Trainer()
        Trainer.model = @models.Tiny()
        x/models.Tiny.width = 2
        """,
    "a reference with a scope replaces that of its holder": """
        models.Tiny.width = 1
        Train.trainer = @x/Trainer()
        Trainer.model = @y/models.Tiny()
        x/models.Tiny.depth = 2
        x/y/models.Tiny.depth = 3
        y/models.Tiny.scale = 4.0
        """,
    "the value of a macro is built in the scope of its name": """
        M = @models.Tiny()
        models.Tiny.width = 1
        M/models.Tiny.depth = 2
        x/models.Tiny.depth = 3
        Train.trainer = @x/Trainer()
        Trainer.model = %M
        """,
    "a macro in a macro, in a list, with a scope in its name": """
        part/CLIP = @hooks.Clip()
        HOOKS = [%part/CLIP, @s/hooks.Clip()]
        part/CLIP/hooks.Clip.max_norm = 2.0
        s/hooks.Clip.max_norm = 3.0
        Trainer.hooks = %HOOKS
        Trainer.model = @models.Tiny()
        models.Tiny.width = 1
        """,
    "a nested component of the same kind in another scope": """
        Trainer.model = @models.Tiny()
        models.Tiny.width = 1
        models.Tiny.inner = @in/models.Tiny()
        in/models.Tiny.inner = @in/in/models.Tiny()
        in/in/models.Tiny.inner = None
        in/in/models.Tiny.width = 7
        """,
}


@pytest.fixture
def config_of(toy: ModuleType):
    """The config of the sound text followed by some lines."""

    def make(*lines: str) -> Config:
        Path("base.gin").write_text(toy.TRAINING)
        return load(["base.gin"], lines)

    return make


def built_by_gin(text: str, monkeypatch: pytest.MonkeyPatch) -> object:
    """What gin itself makes of a text, with our components filed in it for that time."""
    entries, ours = registry.entries(), gin.selector_map.SelectorMap()
    for selector, filed in gin.config._REGISTRY.items():
        ours[selector] = filed
    with monkeypatch.context() as patch:
        patch.setattr(gin.config, "_REGISTRY", ours)
        for entry in entries:
            gin.register(entry.name, module=entry.selector.rpartition(".")[0])(entry.target)
        gin.parse_config(text)
        wanted = gin.get_bindings("emprot.run")["job"]
        gin.clear_config()
    return wanted


@pytest.mark.parametrize("text", SCOPED.values(), ids=SCOPED.keys())
def test_scopes_are_those_of_gin(toy: ModuleType, text: str, monkeypatch: pytest.MonkeyPatch):
    lines = "\n".join(line.strip() for line in text.splitlines())
    complete = (
        "run.job = @jobs.Train()\nTrainer.loss = @losses.SquaredError()\nTrainer.optimizer = 'none'\n"
        + ("" if "Train.trainer" in lines else "Train.trainer = @Trainer()\n")
        + lines
    )
    toy.Trainer.__init__.__annotations__.pop("optimizer")  # gin wraps functions: a text can be compared
    wanted = built_by_gin(complete, monkeypatch)
    Path("scoped.gin").write_text(complete)
    config = load(["scoped.gin"], allow_unused=True)
    assert config.build("run.job") == wanted
    assert load_text(config.text()).build("run.job") == wanted


def test_each_reference_builds_an_object_of_its_own(config_of):
    config = config_of("CLIP = @Clip()", "Trainer.hooks = [@Clip(), @Clip(), %CLIP, %CLIP]")
    hooks = config.build("Trainer.hooks")
    assert len({id(hook) for hook in hooks}) == 4
    assert config.build("Trainer.hooks")[0] is not hooks[0]


def test_a_factory_is_a_partial_of_the_plain_function(config_of, toy: ModuleType):
    factory = config_of(
        "sgd.learning_rate = 0.5", "slow/sgd.learning_rate = 0.1", "Trainer.optimizer = @slow/sgd"
    ).build("Trainer.optimizer")
    assert isinstance(factory, functools.partial)
    assert factory.func is toy.sgd
    assert factory.keywords == {"learning_rate": 0.1}


def test_parameters_gives_what_is_bound_and_nothing_else(config_of):
    config = config_of("run.seed = 3", "run.directory = 'x'")
    parameters = config.parameters("run", lazy={"job"})
    assert {name: value for name, value in parameters.items() if name != "job"} == {"seed": 3, "directory": "x"}


def test_lazy_parameters_are_built_when_they_are_called(config_of, toy: ModuleType):
    job = config_of().parameters("run", lazy={"job"})["job"]
    assert toy.BUILT == []
    assert job().trainer.model == toy.Tiny(width=8)


def test_build_order_is_that_of_the_signature_not_of_the_statements(config_of, toy: ModuleType):
    lines = ["Trainer.hooks = [@Clip()]", "Trainer.loss = @SquaredError()", "Trainer.model = @models.Tiny()"]
    for order in itertools.permutations(lines):
        toy.BUILT.clear()
        config_of(*order).build("run.job")
        assert toy.BUILT == ["Tiny", "SquaredError", "Clip", "Trainer"]


def test_build_of_an_unbound_parameter_says_what_to_bind(config_of):
    with pytest.raises(
        ValueError, match=r"Trainer.scheduler is not bound in base.gin; bind it: Trainer.scheduler = ..."
    ):
        config_of().build("Trainer.scheduler")
    with pytest.raises(ValueError, match="'Trainr' names no component"):
        config_of().build("Trainr.scheduler")


def test_build_of_one_parameter_in_a_scope(config_of):
    config = config_of("x/models.Tiny.width = 2", "x/Trainer.max_epochs = 1", "Train.trainer = @x/Trainer()")
    assert config.build("x/Trainer.model").width == 2
    assert config.build("Trainer.model").width == 8


def test_get_gives_literals_with_macros_inlined_and_defaults(config_of):
    config = config_of("STEM = 'a'", "run.directory = %STEM", "Trainer.options = {'x': 1}")
    assert config.get("run.directory") == "a"
    assert config.get("Trainer.options") == {"x": 1}
    assert config.get("run.device") is None
    assert config.get("run.device", "auto") == "auto"
    assert str(config.get("run.job")) == "@jobs.Train()"


def test_an_error_while_building_names_component_scope_and_place(config_of):
    config = config_of("Trainer.model = @models.Wide()", "Train.trainer = @t/Trainer()")
    with pytest.raises(OSError, match="No space left") as caught:
        config.build("run.job")
    assert caught.value.__notes__ == ["while building t/models.Wide for Trainer.model (--gin_bindings[0]:1)"]


def test_an_error_with_arguments_keeps_them(config_of, toy: ModuleType, monkeypatch: pytest.MonkeyPatch):
    def refuse(self: object) -> None:
        raise KeyError("no such thing")

    monkeypatch.setattr(toy.Recorded, "__post_init__", refuse)
    with pytest.raises(KeyError) as caught:
        config_of().build("run.job")
    assert caught.value.args == ("no such thing",)
    assert caught.value.__notes__ == ["while building models.Tiny for Trainer.model (base.gin:4)"]


def test_an_error_about_a_parameter_names_where_it_was_bound(config_of, toy: ModuleType, monkeypatch):
    def refuse(self: object) -> None:
        raise ValueError("width is 0 and depth = 2, expected width to be 1 or more; more scale may help")

    monkeypatch.setattr(toy.Recorded, "__post_init__", refuse)
    bound = ["models.Tiny.depth = %DEPTH", "models.Tiny.width = 0", "models.Tiny.scale = 3.0", "DEPTH = 2"]
    with pytest.raises(ValueError, match="width is 0") as caught:
        config_of(*bound).build("run.job")
    built, *places, raised = caught.value.__notes__
    assert built == "while building models.Tiny for Trainer.model (base.gin:4)"
    assert raised.startswith("raised by emprot.models.Tiny, defined at toy_plugin.py:")
    assert isinstance(caught.value, EmprotError)
    assert isinstance(caught.value.__cause__, ValueError)
    assert sorted(places) == [
        "with models.Tiny.depth from --gin_bindings[3]:1",
        "with models.Tiny.width from --gin_bindings[1]:1",
    ]


def test_given_arguments_take_the_place_of_what_is_bound(config_of, toy: ModuleType):
    config = config_of("models.Tiny.width = 1", "models.Tiny.depth = 2")
    model = config.build("Trainer.model", width=7)
    assert (model.width, model.depth) == (7, 2)
    assert config.build("Trainer.model").width == 1
    with pytest.raises(EmprotError, match=r"models\.Tiny has no parameter witdh; it has "):
        config.build("Trainer.model", witdh=7)


def test_no_gin_frame_is_above_what_is_built(config_of):
    with pytest.raises(OSError, match="No space left") as caught:
        config_of("Trainer.model = @models.Wide()").build("run.job")
    files = [frame.filename for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert not [file for file in files if "/gin/" in file]


def test_a_config_does_not_see_components_that_are_registered_later(config_of, toy: ModuleType):
    config = config_of()
    from emprot_core.registry import register

    register("baseline", "Trainer")(type("Trainer", (), {}))
    assert config.get("Trainer.model") is not None
    assert config_of().get("Trainer.model") is not None, "a full short selector is exact, whatever else has its name"
