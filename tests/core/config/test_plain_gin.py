"""What users of plain gin bring: parts filed by gin's own decorators, constants, enums and %REQUIRED."""

from pathlib import Path
from types import ModuleType

import pytest

from emprot_core.cli import main
from emprot_core.config import ConfigError, load, load_text

MODULE = """
import enum
import gin

@gin.constants_from_enum
class Mode(enum.Enum):
    FAST = "fast"
    EXACT = "exact"

@gin.register
class Tiny:
    def __init__(self, width: int = 8, name: str = "plain", mode: Mode = Mode.EXACT):
        self.width, self.name, self.mode = width, name, mode

@gin.configurable
class Changed:
    def __init__(self, width: int = 8):
        self.width = width

@gin.configurable(module="tools")
def double(value: int = 1):
    return 2 * value

gin.constant("sizes.LARGE", 512)
"""


@pytest.fixture
def base(toy: ModuleType) -> None:
    Path("base.gin").write_text(toy.TRAINING)
    Path("plain_parts.py").write_text(MODULE)


def config_of(*lines: str, **options):
    Path("mine.gin").write_text("\n".join(["include 'base.gin'", "import plain_parts", *lines]))
    return load(["mine.gin"], **options)


@pytest.mark.parametrize(
    ("lines", "width"),
    [
        (["Trainer.model = @plain_parts.Tiny()", "plain_parts.Tiny.width = 5"], 5),
        (["Trainer.model = @plain_parts.Changed()", "Changed.width = 6"], 6),
        (["Trainer.model = @plain_parts.Tiny()", "plain_parts.Tiny.width = %sizes.LARGE"], 512),
        (["Trainer.model = @plain_parts.Tiny()", "plain_parts.Tiny.width = @tools.double()", "double.value = 4"], 8),
    ],
)
def test_parts_filed_by_gins_own_decorators_are_built_and_bound(base: None, lines: list[str], width: int) -> None:
    config = config_of(*lines)
    assert config.build("Trainer.model").width == width
    assert load_text(config.text()).build("Trainer.model").width == width
    assert load_text(config.text()).digest() == config.digest()


def test_a_member_of_an_enum_is_a_value(base: None) -> None:
    config = config_of("Trainer.model = @plain_parts.Tiny()", "plain_parts.Tiny.mode = %Mode.FAST")
    assert config.build("Trainer.model").mode.value == "fast"
    assert "%plain_parts.Mode.FAST" in config.text()


def test_faults_of_such_parts_are_found_like_any_other(base: None) -> None:
    with pytest.raises(ConfigError) as caught:
        config_of(
            "Trainer.model = @plain_parts.Tiny()",
            "plain_parts.Tiny.widht = 5",
            "plain_parts.Tiny.width = 'wide'",
            "plain_parts.Tiny.name = %sizes.LARGE",
            "Trainer.loss = @plain_parts.Tyni()",
        )
    codes = {fault.code for fault in caught.value.faults}
    assert codes == {"unknown-parameter", "type", "unknown-component"}
    assert "did you mean plain_parts.Tiny.width?" in str(caught.value)
    assert "plain_parts.Tiny.name wants str, got 512 (int)" in str(caught.value)


def test_required_may_be_written_without_gin_in_front(base: None) -> None:
    with pytest.raises(ConfigError, match=r"Trainer\.model must be overridden: it is %gin\.REQUIRED"):
        config_of("Trainer.model = %REQUIRED")


def test_they_are_listed_and_described(base: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--plugin=plain_parts", "--list", "object"]) == 0
    assert {"plain_parts.Tiny", "plain_parts.Changed", "tools.double"} <= set(capsys.readouterr().out.split())
    assert main(["--plugin=plain_parts", "--describe", "tools.double"]) == 0
    assert "value: int = 1" in capsys.readouterr().out
