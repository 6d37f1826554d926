"""A config that is read back from a run: it includes no file, imports registered plugins only, and runs nothing."""

import subprocess
import sys
from pathlib import Path

import pytest

from emprot_core.cli import main
from emprot_core.config import ConfigError, load_text

PAYLOAD = "from pathlib import Path\nPath('executed').touch()\n"
INCLUDES = [
    "include 'base.gin'",
    "include 'emprot_gin_configs:base.gin'",
    "include 'emprot_gin_configs/base.gin'",
    "include 'payload:evil.gin'",
    "include 'payload.inner:evil.gin'",
    "include 'payload/evil.gin'",
    "include 'payload.inner/evil.gin'",
    "include '/proc/self/environ'",
    "include '../outside.gin'",
    "include 'evil.gin'",
]
IMPORTS = [
    "import payload",
    "import payload.inner",
    "import payload.inner as harmless",
    "from payload import inner",
    "from payload.inner import thing",
    "import os",
    "from __gin__ import dynamic_registration",
]
CALLS = ["run.job = @os.system()", "run.job = @payload.run()", "run.job = @payload.inner.thing()"]
WATCHER = """
import sys
from pathlib import Path
from emprot_core import registry
registry.load_plugins()
import emprot_core, emprot_core.jobs.load, torch  # what the audit must not count
seen = []
def watch(event, arguments):
    if event in ("exec", "os.system", "subprocess.Popen", "socket.connect"):
        seen.append((event, str(arguments[0])[:80]))
    if event == "import" and str(arguments[0]).split(".")[0] == "payload":
        seen.append((event, arguments[0]))
    if event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
        seen.append((event, str(arguments[0])))
sys.addaudithook(watch)
for directory in sys.argv[1:]:
    try:
        emprot_core.load_run(directory)
        seen.append(("loaded", directory))
    except Exception as error:
        assert type(error).__name__ in ("ConfigError", "CheckpointError"), (directory, type(error), error)
print(seen)
"""


@pytest.mark.parametrize("line", [*INCLUDES, *IMPORTS, *CALLS])
def test_a_text_that_was_read_back_may_not_reach_out(line: str, in_an_empty_directory: None) -> None:
    write_payload()
    with pytest.raises(ConfigError) as caught:
        load_text(f"{line}\nrun.seed = 1\n")
    assert {"import", "unknown-component"} & {fault.code for fault in caught.value.faults}
    assert not Path("executed").exists()


def write_payload() -> None:
    Path("payload/inner").mkdir(parents=True)
    for folder in ("payload", "payload/inner"):
        Path(folder, "__init__.py").write_text(PAYLOAD)
        Path(folder, "evil.gin").write_text("import payload\n")
    Path("evil.gin").write_text("import payload\n")


def test_hostile_run_directories_import_nothing_and_write_nothing(tmp_path: Path, monkeypatch) -> None:
    """Thirty of them, watched by an audit hook in a process of its own."""
    monkeypatch.chdir(tmp_path)
    write_payload()
    texts = [*INCLUDES, *IMPORTS, *CALLS]
    texts += [f"{first}\n{second}" for first, second in zip(INCLUDES, reversed(INCLUDES), strict=True)]
    assert len(texts) >= 30
    for number, text in enumerate(texts):
        Path(f"run-{number}").mkdir()
        Path(f"run-{number}/config.gin").write_text(f"{text}\nrun.seed = 1\n")
    command = [sys.executable, "-c", WATCHER, *(f"run-{number}" for number in range(len(texts)))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[]\n"
    assert not Path("executed").exists()


def test_an_untrusted_file_is_told_and_not_done(in_an_empty_directory: None, capsys) -> None:
    write_payload()
    Path("stranger.gin").write_text(
        "include 'base.gin'\ninclude '/proc/self/environ'\nimport payload\nrun.job = @os.system()\n"
    )
    assert main(["--check", "--untrusted", "--gin_file=stranger.gin"]) == 0
    told = capsys.readouterr().out
    assert "payload  (stranger.gin:3)" in told
    assert "/proc/self/environ  (stranger.gin:2)" in told
    assert "@os.system()  NOT REGISTERED HERE" in told
    assert "@jobs.Train()  emprot_core/jobs/train.py" in told
    assert not Path("executed").exists()


def test_untrusted_goes_with_check(capsys) -> None:
    assert main(["--untrusted", "--gin_file=base.gin"]) == 2
    assert "--untrusted goes with --check" in capsys.readouterr().err
