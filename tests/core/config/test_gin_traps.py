"""What gin-config 0.5.0 does to its users, trap by trap, and what happens here instead."""

import logging
import os
import pickle
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import gin
import pytest

from emprot_core import registry
from emprot_core.config import ConfigError, load, load_text


def codes(files: Sequence[str], bindings: Sequence[str] = ()) -> list[tuple[int, str]]:
    with pytest.raises(ConfigError) as caught:
        load(files, bindings)
    return [(fault.location.line, fault.code) for fault in caught.value.faults]


@pytest.fixture
def base(toy: ModuleType) -> ModuleType:
    """The toy plugin, with its sound config as base.gin in the current directory."""
    Path("base.gin").write_text(toy.TRAINING)
    return toy


def test_trap_1_gin_stops_at_the_first_error_and_keeps_what_it_bound_before(base: ModuleType):
    before = load(["base.gin"])
    Path("bad.gin").write_text("include 'base.gin'\nrun.seed = 7\nrun.sed = 7\nrun.seeed = 7\n")
    assert codes(["bad.gin"]) == [(3, "unknown-parameter"), (4, "unknown-parameter")]
    assert before.get("run.seed", 0) == 0
    assert gin.config._CONFIG == {}, "nothing of ours ever reaches gin's global config"


def test_trap_1_gin_accepts_any_type_any_scope_and_a_key_twice(base: ModuleType):
    text = (
        "run.seed = 'ten'\nrun.device = 3\ntarin/Trainer.max_epochs = 5\nTrainer.max_steps = 1\nTrainer.max_steps = 2\n"
    )
    Path("bad.gin").write_text("include 'base.gin'\n" + text)
    assert codes(["bad.gin"]) == [(2, "type"), (3, "type"), (4, "unused"), (6, "duplicate")]


def test_trap_2_a_typo_vanishes_in_kwargs_and_a_bare_name_becomes_a_macro(base: ModuleType):
    Path("bad.gin").write_text("include 'base.gin'\nTrain.baselines = [@Guess()]\nGuess.alhpa = 2.0\nmax_steps = 5\n")
    assert codes(["bad.gin"]) == [(3, "unknown-parameter"), (4, "bare-name")]


def test_trap_3_a_missing_value_and_an_undefined_macro_have_places_and_short_messages(base: ModuleType):
    Path("bad.gin").write_text("include 'base.gin'\nTrain.data = @Frames()\nrun.seed = %SEED\n")
    with pytest.raises(ConfigError) as caught:
        load(["bad.gin"])
    assert [(f.location.line, f.code) for f in caught.value.faults] == [(2, "missing"), (3, "undefined-macro")]
    assert max(len(str(fault)) for fault in caught.value.faults) < 400


def test_trap_3_an_include_cycle_is_one_fault_with_its_chain(base: ModuleType):
    Path("a.gin").write_text("include 'base.gin'\ninclude 'b.gin'\n")
    Path("b.gin").write_text("include 'a.gin'\n")
    with pytest.raises(ConfigError) as caught:
        load(["a.gin"])
    assert [str(fault) for fault in caught.value.faults] == [
        "b.gin:1: error[include-cycle]: a.gin includes itself: a.gin -> b.gin -> a.gin\n    include 'a.gin'\n"
        "  help: remove one include"
    ]


@pytest.mark.parametrize(
    ("value", "advice"),
    [("cuda", 'quotes: "cuda"'), ("true", "Python spells it True"), ("1/3", "gin does no arithmetic")],
)
def test_trap_3_no_message_speaks_of_malformed_nodes(base: ModuleType, value: str, advice: str):
    with pytest.raises(ConfigError) as caught:
        load(["base.gin"], [f"run.device = {value}"])
    assert f"{value!r} is not a gin value" in str(caught.value)
    assert advice in str(caught.value)
    assert "malformed" not in str(caught.value)


def test_trap_3_an_open_bracket_or_string_is_blamed_on_its_own_line(base: ModuleType):
    Path("bad.gin").write_text("include 'base.gin'\nTrainer.hooks = [\n    @Clip(),\nrun.seed = 3\nrun.device = 'cpu\n")
    assert codes(["bad.gin"]) == [(2, "syntax"), (5, "syntax")]


def test_trap_4_a_missing_file_is_no_attribute_error_and_a_search_logs_nothing(
    base: ModuleType, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "x.gin").write_text(base.TRAINING)
    handlers = list(logging.getLogger().handlers)
    load(["x.gin"], search_paths=["nowhere", "elsewhere"])
    assert codes(["y.gin"]) == [(0, "missing-file")]
    assert caplog.records == []
    assert logging.getLogger().handlers == handlers


def test_trap_5_a_stray_file_in_the_current_directory_does_not_shadow_an_include(base: ModuleType, tmp_path: Path):
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "base.gin").write_text(base.TRAINING + "run.seed = 1\n")
    (tmp_path / "configs" / "variant.gin").write_text("include 'base.gin'\n")
    Path("base.gin").write_text(base.TRAINING + "run.seed = 2\n")
    assert load(["configs/variant.gin"]).get("run.seed") == 1


def test_trap_6_components_stay_plain(base: ModuleType):
    built = load(["base.gin"]).build("Trainer.model")
    assert type(built) is base.Tiny
    assert base.Tiny(width=3).width == 3, "a direct call sees no binding"

    class Child(base.Tiny):
        pass

    assert Child(width=4).width == 4, "a subclass inherits no binding"
    assert not hasattr(base.Tiny.__init__, "__wrapped__")


def test_trap_6_bound_lists_are_not_shared_between_objects(base: ModuleType):
    config = load(["base.gin"], ["SquaredError.weights = [1.0]"])
    config.build("Trainer.loss").weights.append(2.0)
    assert config.build("Trainer.loss").weights == [1.0]


def test_trap_6_a_default_that_names_a_component_and_is_never_bound_is_told(empty_registry: None):
    Path("late.py").write_text(
        "from dataclasses import dataclass\nfrom typing import Any\nfrom emprot_core.registry import register\n"
        "@register('optimizer')\ndef plain(p, rate: float = 1.0): ...\n"
        "@register('core', 'run')\n@dataclass\nclass Run:\n    job: Any\n    optimizer: Any = plain\n"
    )
    Path("bad.gin").write_text("import late\nrun.job = 1\nplain.rate = 2.0\n")
    assert codes(["bad.gin"]) == [(3, "unused")]


def test_trap_6_a_factory_reference_pickles(base: ModuleType):
    factory = load(["base.gin"], ["sgd.learning_rate = 0.5"]).build("Trainer.optimizer")
    assert pickle.loads(pickle.dumps(factory))("weights") == ("sgd", "weights", 0.5, (0.9, 0.99))


def test_trap_7_an_exception_keeps_type_arguments_and_errno(base: ModuleType):
    config = load(["base.gin"], ["Trainer.model = @big/models.Wide()"])
    with pytest.raises(OSError, match="No space left") as caught:
        config.build("run.job")
    error = caught.value
    assert (type(error), error.errno, error.args) == (OSError, 28, (28, "No space left for weights"))
    assert error.__context__ is None
    assert (
        getattr(error, "__notes__", [])[0] == "while building big/models.Wide for Trainer.model (--gin_bindings[0]:1)"
    )
    pickle.dumps(error)


def test_trap_7_what_a_config_builds_can_be_sent_to_a_spawned_process(base: ModuleType):
    model = load(["base.gin"], ["models.Tiny.depth = 4"]).build("Trainer.model")
    code = "import pickle, sys; print(pickle.load(sys.stdin.buffer))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    child = subprocess.run(
        [sys.executable, "-c", code], input=pickle.dumps(model), capture_output=True, env=environment
    )
    assert child.stdout.decode().strip() == repr(base.Tiny(width=8, depth=4)), child.stderr.decode()


def test_trap_8_values_that_gin_cannot_write_are_not_dropped(base: ModuleType):
    config = load(["base.gin"], ["Trainer.tolerance = 1e999", "Trainer.optimizer = @optimizers.sgd"])
    config.build("run.job")
    assert "emprot.Trainer.tolerance = 1e999" in config.text()
    assert "emprot.Trainer.tolerance = 1e999" in config.operative_text()
    assert load_text(config.text()).get("Trainer.tolerance") == float("inf")
    assert "emprot.Trainer.hooks = ()" in config.operative_text(), "defaults are there as well"


def test_trap_8_the_digest_needs_nothing_to_be_built_and_ignores_what_gives_the_same_result(base: ModuleType):
    plain = load(["base.gin"])
    digest = plain.digest()
    plain.build("run.job")
    assert plain.digest() == digest
    moved = load(["base.gin"], ["run.directory = 'x'", "run.device = 'cpu'", "run.allow_config_change = True"])
    assert moved.digest() == digest
    assert load(["base.gin"], ["run.seed = 1"]).digest() != digest


def test_trap_9_two_configs_live_side_by_side_and_an_error_leaves_nothing_behind(base: ModuleType):
    one = load(["base.gin"], ["models.Tiny.width = 1"], search_paths=["somewhere"])
    with pytest.raises(ConfigError):
        load(["base.gin"], ["models.Tiny.wdth = 2"])
    two = load(["base.gin"], ["models.Tiny.width = 3"])
    assert [config.build("Trainer.model").width for config in (one, two, one)] == [1, 3, 1]
    assert gin.config._LOCATION_PREFIXES == [""]
    assert not gin.config_is_locked()


def test_trap_10_a_gin_file_may_import_a_module_of_the_current_directory(base: ModuleType, tmp_path: Path):
    sys.path[:] = [path for path in sys.path if path not in ("", str(tmp_path))]  # as a console script starts
    Path("my_exp.py").write_text(
        "from emprot_core.registry import register\n@register('model')\nclass Mine:\n    pass\n"
    )
    config = load(["base.gin"], ["import my_exp", "Trainer.model = @models.Mine()"])
    assert type(config.build("Trainer.model")).__name__ == "Mine"
    assert "import my_exp\n" in config.text()


def test_trap_11_a_gin_file_calls_registered_components_only(base: ModuleType):
    assert codes(["base.gin"], ["import os", "Train.note = @os.system()"]) == [(1, "unknown-component")]


def test_trap_11_gins_dynamic_registration_is_refused(base: ModuleType):
    assert codes(["base.gin"], ["from __gin__ import dynamic_registration"]) == [(1, "import")]


def test_the_fixture_restores_the_registries(base: ModuleType):
    registry.register("model", "Leftover")(type("Leftover", (), {}))
    gin.register("LeftInGin", module="here")(type("LeftInGin", (), {}))


def test_the_fixture_restored_the_registries(base: ModuleType):
    assert not [selector for selector, _ in gin.config._REGISTRY.items() if "LeftInGin" in selector]
    assert "Leftover" not in [entry.name for entry in registry.entries()]
