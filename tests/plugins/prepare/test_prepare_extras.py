"""Components of Prepare whose library is not installed."""

import sys
from pathlib import Path

import emprot_plugins.prepare.prepare  # noqa: F401  registers the job
import pytest
from emprot_plugins.prepare.prepare import Prepare
from preparing import FrameParity, LengthReader, run, write_files

from emprot_core.cli import main
from emprot_core.contracts import Structure
from emprot_core.jobs.context import RunRefused


@pytest.fixture
def files(tmp_path: Path) -> Path:
    return write_files(tmp_path)


class BareReader(LengthReader):
    """A reader without its library."""

    def read(self, path: Path) -> Structure:
        raise ModuleNotFoundError("readers.bare needs bare; pip install 'emprot[bare]'")


def test_a_reader_whose_library_is_missing_refuses_the_run(files: Path) -> None:
    job = Prepare(str(files / "**" / "*.txt"), BareReader(), [FrameParity()], str(files.parent / "out"))
    with pytest.raises(RunRefused, match=r"emprot\[bare\]"):
        run(job)


@pytest.mark.parametrize(
    ("component", "library", "extra"),
    [
        ("readers.md", "MDAnalysis", "md"),
        ("readers.mdcath_h5", "h5py", "hdf5"),
        ("readers.misato_h5", "h5py", "hdf5"),
        ("readers.lmdb_frames", "lmdb", "lmdb"),
        ("tokenizers.threedi", "mini3di", "threedi"),
        ("tokenizers.dssp", "mdtraj", "dssp"),
    ],
)
def test_without_its_library_a_component_is_listed_and_a_run_says_in_a_line_which_extra_it_needs(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    component: str,
    library: str,
    extra: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, library, None)
    (tmp_path / "a.x").write_bytes(b"")
    kind, name = component.split(".")
    bindings = [f"Prepare.{kind} = {f'@{component}()' if kind == 'readers' else f'[@{component}()]'}"]
    bindings[0] = bindings[0].replace("readers =", "reader =")
    bindings += ["Prepare.source = 'a.x'", "md.topology = ''", "Prepare.num_workers = 1"] if kind == "readers" else []
    file = "prepare.gin" if kind == "readers" else "prepare_sample.gin"
    arguments = [f"--gin_file={file}", *(f"--gin_bindings={b}" for b in bindings), "--allow_unused"]
    assert main([*arguments, "--check"]) == 0
    assert main(["--list", kind[:-1]]) == main(["--describe", component]) == 0
    assert name in capsys.readouterr().out
    assert main(arguments) != 0
    told = [line for line in capsys.readouterr().err.splitlines() if "error" in line or "Traceback" in line]
    assert len(told) == 1
    assert f" needs {library}; " in told[0]
    assert told[0].endswith(f"pip install 'emprot[{extra}]'")
