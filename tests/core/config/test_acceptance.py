"""The configuration as a user meets it: emprot-run in a process of its own, over the shipped files."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from emprot_core.checkpoint import load_checkpoint
from emprot_core.cli import main
from emprot_core.config import load, load_text

FAULTS = [  # a line of the file, and what the report says of it
    ("include 'bse.gin'", "missing-file", "there is no gin file 'bse.gin'", "did you mean base.gin?"),
    ("import my_partz", "import", "No module named 'my_partz'", "did you mean my_parts?"),
    ("Trainer.max_epoch = 10", "unknown-parameter", "no parameter 'max_epoch'", "did you mean Trainer.max_epochs?"),
    ("Trainer.max_steps = 'ten'", "type", "Trainer.max_steps wants int | None, got 'ten' (str)", ""),
    ("Trainer.optimizer = @optimizers.adamw()", "call-style", "needs the model's parameters", "drop the parentheses"),
    ("Trainer.loss = @metrics.TokenAccuracy()", "kind", "wants a loss", "@losses.MaskedCrossEntropy()"),
    ("Trainer.scheduler = @schedulers.cosine", "unknown-component", "@schedulers.cosine", "cosine_with_warmup?"),
    ("run.device = cuda", "syntax", "'cuda' is not a gin value", 'a string needs quotes: "cuda"'),
    ("adamw.lr = 1e-3", "unknown-parameter", "no parameter 'lr'", "did you mean optimizers.adamw.learning_rate?"),
    ("adamw.named_parameters = []", "late-parameter", "cannot be bound", "accepted: learning_rate: float = 0.001"),
    ("max_epochs = 3", "bare-name", "defines a macro that nothing uses", "did you mean Trainer.max_epochs?"),
    ("TrajectoryWindows.history = %HISTROY", "undefined-macro", "%HISTROY is not defined", "did you mean %HISTORY?"),
    ("TrajectoryWindows.trajectories = 'prolif*'", "type", "got 'prolif*' (str)", "in brackets: ['prolif*']"),
    ("ByTime.train = 7/10", "syntax", "'7/10' is not a gin value", "gin does no arithmetic"),
    ("run.seed = 1\nrun.seed = 2", "duplicate", "run.seed is bound twice in one file: first in line 16", "keep one"),
    ("Trainer.hooks = [@hooks.Checkpoint(),", "syntax", "'[' is never closed", "close it with ']'"),
]


@pytest.fixture(autouse=True)
def _in_an_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def emprot_run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-m", "emprot_core", *arguments], capture_output=True, text=True)


def python(code: str) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert child.returncode == 0, child.stderr
    return child.stdout


def test_a_file_with_many_faults_gives_each_its_message_and_place_in_one_run():
    Path("my_parts.py").touch()
    Path("mine.gin").write_text("include 'base.gin'\n" + "\n".join(line for line, *_ in FAULTS) + "\n")
    child = emprot_run("--gin_file=mine.gin")
    assert (child.returncode, child.stdout) == (2, "")
    assert "Traceback" not in child.stderr
    reports = child.stderr.split("\nmine.gin:")
    reports[0] = reports[0].removeprefix("mine.gin:")
    assert len(reports) == len(FAULTS) >= 15
    assert child.stderr.endswith(f"\n{len(FAULTS)} problems; nothing was run. docs: faults\n")
    number = 1
    for report, (line, code, message, help) in zip(reports, FAULTS, strict=True):
        number += line.count("\n") + 1
        assert report.startswith(f"{number}: error[{code}]: "), report
        assert message in report.splitlines()[0]
        assert help in " ".join(report.split())
    assert not Path("runs").exists()


def test_the_check_takes_little_beyond_its_imports_and_imports_nothing_heavy():
    """Processor time, so that a busy machine does not count."""
    written = python(
        "import sys, time\nfrom emprot_core import cli, config, registry\nregistry.load_plugins()\n"
        "start = time.process_time()\nassert cli.main(['--gin_file=base.gin', '--check']) == 0\n"
        "print(time.process_time() - start)\n"
        "heavy = ('tensorboard', 'MDAnalysis', 'mini3di', 'matplotlib', 'scipy', 'wandb', 'h5py', 'torch._inductor')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    _, seconds, heavy = written.splitlines()
    assert float(seconds) < 0.3
    assert heavy == "[]"


@pytest.mark.parametrize("name", ["base.gin", "debug.gin", "threedi.gin", "overfit.gin", "prepare_sample.gin"])
def test_a_run_builds_exactly_what_the_check_walked(name: str):
    """So nothing is left for a second look at what was used: a binding is unused before the run or not at all."""
    config = load([name])
    config.build("run.job")
    config.parameters("run", lazy={"job"})
    assert set(config._builder.built) == set(config.tree.built)


def test_the_config_in_every_checkpoint_gives_the_run_again():
    fast = ["Trainer.max_steps=4", "Train.baselines=[]", "run.directory=runs/a"]
    assert main(["--gin_file=debug.gin", *fast]) == 0
    config = load(["debug.gin"], overrides=fast)
    texts = [load_checkpoint(path)["config"] for path in Path("runs/a/checkpoints").glob("*.pt")]
    texts.append(Path("runs/a/config.gin").read_text())
    assert len(texts) >= 3
    assert {load_text(text).digest() for text in texts} == {config.digest()}


def test_no_gin_frame_is_above_the_loop(own_registry: None):
    Path("mine.py").write_text(
        "import traceback\nfrom emprot_core.hooks.base import Hook\nfrom emprot_core.registry import register\n"
        "@register('hook')\nclass Look(Hook):\n    def on_step_start(self, trainer):\n"
        "        files = [frame.filename for frame in traceback.extract_stack()]\n"
        "        raise RuntimeError(*(any(part in file for file in files) for part in ('/gin/', 'trainer.py')))\n"
    )
    config = load(["debug.gin"], ["import mine", "Trainer.hooks = [@hooks.Look()]"])
    from emprot_core.jobs.run import run_job

    with pytest.raises(RuntimeError) as caught:
        run_job(config, Path("runs/any"))
    assert caught.value.args == (False, True)
