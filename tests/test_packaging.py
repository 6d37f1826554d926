"""The wheel: everything is in it, and nothing else is installed at the top level."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from places import ROOT

INSTALLED_AS = {"emprot_core": "emprot_core", "plugins": "emprot_plugins", "gin_configs": "emprot_gin_configs"}


@pytest.fixture(scope="module")
def wheel_files(tmp_path_factory) -> set[str]:
    """Names in a wheel built from a copy of what git tracks."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    if not tracked:
        pytest.skip("not a git checkout")
    for name in filter(None, tracked.split("\0")):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(source)]
    done = subprocess.run(build, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    with zipfile.ZipFile(next(out.glob("*.whl"))) as wheel:
        return set(wheel.namelist())


@pytest.mark.slow
def test_every_module_gin_file_and_sample_file_is_in_the_wheel(wheel_files) -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in tracked.splitlines():
        folder, _, rest = name.partition("/")
        if folder in INSTALLED_AS and (ROOT / name).is_file():
            assert f"{INSTALLED_AS[folder]}/{rest}" in wheel_files


@pytest.mark.slow
def test_nothing_else_is_installed_at_the_top_level(wheel_files) -> None:
    top = {name.split("/")[0] for name in wheel_files if ".dist-info/" not in name}
    assert top == set(INSTALLED_AS.values())


@pytest.mark.slow
def test_licence_and_notice_travel_with_the_wheel(wheel_files) -> None:
    assert {Path(name).name for name in wheel_files if ".dist-info/" in name} >= {"LICENSE", "NOTICE"}
