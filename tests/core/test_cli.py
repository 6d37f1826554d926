"""The command line: what each option does, and which exit status each outcome has."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from emprot_core import registry
from emprot_core.cli import main
from emprot_core.config import Config
from emprot_core.errors import EmprotError


@pytest.fixture
def run_with(toy: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """emprot-run on a sound base.gin, with `run_job` replaced by a function of the test."""
    Path("base.gin").write_text(toy.TRAINING)

    def start(job: Callable[[Config], int], *arguments: str) -> int:
        stub = SimpleNamespace(
            run_job=lambda config, directory, merge: job(config), directory_of=lambda config, fresh: None
        )
        monkeypatch.setitem(sys.modules, "emprot_core.jobs.run", stub)  # type: ignore[arg-type]
        return main(["--gin_file=base.gin", *arguments])

    return start


def fail_with(error: BaseException) -> Callable[[Config], int]:
    def job(config: Config) -> int:
        raise error

    return job


def test_a_run_gets_the_config_and_gives_the_exit_status(run_with):
    seen: list[Any] = []

    def job(config: Config) -> int:
        seen.append((config.get("Trainer.max_epochs"), config.get("run.seed")))
        return 143

    status = run_with(job, "--gin_bindings=Trainer.max_epochs = 3", "--gin_param", "run.seed = 5")
    assert (status, seen) == (143, [(3, 5)])


def test_a_wrong_config_exits_with_2_and_no_traceback(run_with, capsys: pytest.CaptureFixture[str]):
    assert run_with(fail_with(AssertionError("nothing may run")), "--gin_bindings=Trainer.max_epoch = 3") == 2
    captured = capsys.readouterr()
    assert "error[unknown-parameter]: Trainer has no parameter 'max_epoch'" in captured.err
    assert captured.err.endswith("1 problem; nothing was run. docs: faults#unknown-parameter\n")
    assert "Traceback" not in captured.err
    assert captured.out == ""


@pytest.mark.parametrize(
    "error",
    [
        EmprotError("the split has no windows"),
        FileNotFoundError(2, "no such store", "x"),
        registry.UnknownComponent("none"),
    ],
)
def test_a_users_mistake_while_running_is_one_message(run_with, error, capsys: pytest.CaptureFixture[str]):
    error.__notes__ = ["while building splits.ByTime for data.Frames.split (base.gin:7)"]
    assert run_with(fail_with(error)) == 1
    lines = capsys.readouterr().err.splitlines()
    page = ["  docs: faults#unknown-component"] if isinstance(error, registry.UnknownComponent) else []
    assert lines == [f"error: {error}", f"  {error.__notes__[0]}", *page, "  --debug shows the traceback"]


def test_debug_shows_the_traceback(run_with, capsys: pytest.CaptureFixture[str]):
    assert run_with(fail_with(EmprotError("no windows")), "--debug") == 1
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("kind", [RuntimeError, ValueError])
def test_any_other_error_shows_its_traceback(run_with, kind, capsys: pytest.CaptureFixture[str]):
    error = kind("a defect")
    error.__notes__ = ["while building x"]  # type: ignore[attr-defined]
    assert run_with(fail_with(error)) == 1
    written = capsys.readouterr().err
    assert "Traceback" in written
    assert "while building x" in written


def test_a_run_that_loses_its_output_has_failed(run_with):
    assert run_with(fail_with(BrokenPipeError(32, "Broken pipe"))) == 1


def test_an_interrupt_exits_with_130(run_with):
    assert run_with(fail_with(KeyboardInterrupt())) == 130


def test_warnings_of_allowed_unused_bindings_are_shown(run_with, capsys: pytest.CaptureFixture[str]):
    unused = "--gin_bindings=Clip.max_norm = 2.0"
    assert run_with(lambda config: 0, unused) == 2
    assert run_with(lambda config: 0, unused, "--allow_unused") == 0
    assert "warning[unused]: no statement refers to hooks.Clip" in capsys.readouterr().err


def test_check_builds_nothing(run_with, toy: ModuleType, capsys: pytest.CaptureFixture[str]):
    assert run_with(fail_with(AssertionError("nothing may run")), "--check") == 0
    assert capsys.readouterr().out == "no problem found in base.gin; run.job = @jobs.Train()\n"
    assert toy.BUILT == []


def test_print_config_gives_each_value_its_place(run_with, capsys: pytest.CaptureFixture[str]):
    arguments = ["--gin_bindings=Trainer.optimizer = @adamw\nsgd.learning_rate = 0.5", "--print_config"]
    Path("base.gin").write_text("LR = 0.1\nadamw.learning_rate = %LR\n" + Path("base.gin").read_text())
    assert run_with(fail_with(AssertionError("nothing may run")), *arguments) == 0
    written = capsys.readouterr().out
    assert "LR = 0.1  # base.gin:1\n" in written
    assert "optimizers.adamw.learning_rate = %LR   # base.gin:2\n" in written
    assert "Trainer.optimizer = @optimizers.adamw  # --gin_bindings[0]:1\n" in written
    assert "#   displaces @optimizers.sgd  (base.gin:9)" in written
    assert "# optimizers.sgd.learning_rate = 0.5  # --gin_bindings[0]:2" in written


def test_list_names_every_component_and_the_plugins_that_failed(toy: ModuleType, capsys: pytest.CaptureFixture[str]):
    Path("broken.py").write_text("import a_library_nobody_has\n")
    assert main(["--list", "--plugin=broken"]) == 2
    written = capsys.readouterr()
    assert (
        "model: bound as @models.Name()\n  Tiny  A small model.\n  Wide  A model that cannot be built.\n" in written.out
    )
    assert "optimizer: bound as @optimizers.Name\n  adamw  Another factory.\n" in written.out
    assert "broken: ModuleNotFoundError: No module named 'a_library_nobody_has'" in written.out
    assert "--plugin=broken: error[import]" in written.err


@pytest.mark.parametrize("kind", ["hook", "hooks"])
def test_list_of_one_kind(toy: ModuleType, kind: str, capsys: pytest.CaptureFixture[str]):
    assert main(["--list", kind]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "hook: bound as @hooks.Name()",
        "  Clip   A hook that is one by its kind alone.",
        "  Quiet  A hook without parameters.",
    ]


def test_an_unknown_kind_gives_the_nearest(toy: ModuleType, capsys: pytest.CaptureFixture[str]):
    assert main(["--list=modls"]) == 2
    assert "did you mean models?" in capsys.readouterr().err


def test_a_question_beside_a_gin_file_is_answered_and_nothing_is_run(capsys: pytest.CaptureFixture[str]):
    for question in ("--list=model", "--describe=sgd"):
        assert main(["--gin_file=not_there.gin", question]) == 0
    assert "optimizers.sgd (optimizer)" in capsys.readouterr().out


def test_describe_tells_parameters_defaults_and_place(toy: ModuleType, capsys: pytest.CaptureFixture[str]):
    assert main(["--describe", "sgd"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "optimizers.sgd (optimizer), bound as @optimizers.sgd"
    assert lines[1].startswith("defined at toy_plugin.py:")
    assert lines[2:] == [
        "",
        "A factory whose late parameter has a name of its own.",
        "",
        "parameters",
        "  learning_rate: float = 0.1",
        "  betas: tuple[float, float] = (0.9, 0.99)",
        "given by the framework when it calls the optimizer",
        "  parameters: Any",
    ]


def test_describe_of_an_unknown_or_ambiguous_name(toy: ModuleType, capsys: pytest.CaptureFixture[str]):
    assert main(["--describe=adam"]) == 2
    assert "did you mean optimizers.adamw?" in capsys.readouterr().err
    assert main(["--describe=Tiny"]) == 2
    assert "Tiny may be any of mixings.Tiny, models.Tiny" in capsys.readouterr().err


@pytest.mark.parametrize(("lines", "status"), [(["best.pt: ok"], 0), (["best.pt: ok", "a.pt: damaged"], 1)])
def test_verify_tells_of_damage(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], lines: list[str], status: int
):
    monkeypatch.setitem(sys.modules, "emprot_core.jobs.verify", SimpleNamespace(verify_run=lambda path: lines))  # type: ignore[arg-type]
    assert main(["--verify", "runs/x"]) == status
    assert capsys.readouterr().out.splitlines() == lines


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--gin_fle=base.gin"], "there is no option --gin_fle; did you mean --gin_file=base.gin?"),
        (["--gin_bindigs", "x"], "there is no option --gin_bindigs; did you mean --gin_bindings?"),
        (["base.gin"], "unexpected argument 'base.gin'; did you mean --gin_file=base.gin?"),
        (["--check", "--list"], "not allowed with argument"),
        (["--gin"], "there is no option --gin"),
        (["--check"], "--gin_file is missing"),
    ],
)
def test_a_wrong_command_line_exits_with_2(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]):
    assert main(arguments) == 2
    assert message in capsys.readouterr().err


def test_without_arguments_a_short_usage_is_shown(capsys: pytest.CaptureFixture[str]):
    assert main([]) == 2
    assert "emprot-run --gin_file=base.gin" in capsys.readouterr().err


def test_a_failure_is_reported_once_by_all_ranks(run_with, monkeypatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setenv("RANK", "1")
    assert run_with(lambda config: 0, "--gin_bindings=Trainer.max_epoch = 3") == 2
    assert capsys.readouterr().err == ""


def test_help_answers_without_torch_and_gin():
    code = (
        "import sys; from emprot_core.cli import main; status = main(['--help']) or main(['--wrong']) - 2\n"
        "sys.exit(status or any(name in sys.modules for name in ('torch', 'gin', 'numpy')))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert child.returncode == 0, child.stderr
    assert "--gin_file FILE" in child.stdout


def test_the_config_package_needs_no_torch():
    code = "import sys; import emprot_core.config.export; sys.exit('torch' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    assert subprocess.run([sys.executable, "-c", code], env=environment).returncode == 0


def test_a_closed_pipe_is_no_error(tmp_path: Path):
    code = (
        "import sys; from emprot_core import registry, cli; registry._loaded = True\n"
        "status = cli.main(['--list']); sys.stderr.write(str(status))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    reader, writer = os.pipe()
    os.close(reader)
    child = subprocess.run(
        [sys.executable, "-c", code], stdout=writer, stderr=subprocess.PIPE, env=environment, text=True
    )
    os.close(writer)
    assert (child.returncode, child.stderr) == (0, "0")
