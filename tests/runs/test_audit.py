"""Reading a stranger's data runs nothing, imports nothing, opens no socket and writes only where a run writes."""

import json
import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
from made_files import write_mdcath
from places import SUPPORT
from run_commands import DEBUG
from small_stores import write_lettered_store

from emprot_core.cli import main
from emprot_core.files import write_hashed_json, write_hashed_text

PAYLOAD = "from pathlib import Path\nPath('executed').touch()\n"


class Runs:
    """Unpickles as a call of os.system."""

    def __reduce__(self):
        return os.system, ("touch executed",)


def hostile_checkpoint(path: Path) -> None:
    """A checkpoint of torch whose pickle calls os.system."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"model_state_dict": Runs(), "step": 3, "due": []}, 2))
        archive.writestr("archive/version", "3\n")


def hostile_runs(folder: Path) -> list[tuple[str, str]]:
    """Copies of a run directory, each with one hostile file."""
    config = (folder / "runs/whole/config.gin").read_text()
    plan = []
    for number, line in enumerate(
        ["include 'payload/evil.gin'", "include 'payload:evil.gin'", "import payload", "run.job = @payload.run()"]
    ):
        run = copy_run(folder, f"config-{number}")
        write_hashed_text(run / "config.gin", f"{line}\n{config}")
        plan += [("load_run", str(run)), ("resume", str(run))]
    run = copy_run(folder, "checkpoint")
    for path in (run / "checkpoints").glob("*.pt"):
        path.unlink()
        hostile_checkpoint(path)
    (run / "checkpoints/index.json").unlink()
    plan += [("load_run", str(run)), ("resume", str(run))]
    run = copy_run(folder, "settings")
    for name in ("settings.json", "result.json"):
        write_hashed_json(run / name, {"settings": "payload", "stores": [["payload", "../../payload"]], "status": "x"})
    plan += [("load_run", str(run)), ("resume", str(run))]
    run = copy_run(folder, "index")
    write_hashed_json(run / "checkpoints/index.json", {"files": {"../../payload/x.pt": "0" * 64}, "outdated": ["../y"]})
    return [*plan, ("load_run", str(run)), ("resume", str(run))]


def copy_run(folder: Path, name: str) -> Path:
    import shutil

    return Path(shutil.copytree(folder / "runs/whole", folder / "runs" / name))


def hostile_data(folder: Path) -> list[tuple[str, str]]:
    write_lettered_store(folder / "store")
    for path in (folder / "store").glob("*.npy"):
        np.save(path, np.array([Runs()], dtype=object), allow_pickle=True)
    np.save(folder / "ids.npy", np.array([Runs()], dtype=object), allow_pickle=True)
    np.savez(folder / "backbone.npz", coordinates=np.array([Runs()], dtype=object))
    import h5py

    write_mdcath(folder / "linked.h5")
    with h5py.File(folder / "linked.h5", "r+") as file:
        del file["1abcA00/320/0/coords"]
        file["1abcA00/320/0/coords"] = h5py.ExternalLink("/etc/hostname", "x")
    return [
        ("store", "store"),
        ("ids_npy", "ids.npy"),
        ("backbone_npz", "backbone.npz"),
        ("mdcath_h5", "linked.h5/320/0"),
    ]


def test_hostile_data_do_nothing_but_fail(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "payload").mkdir()
    (tmp_path / "payload/__init__.py").write_text(PAYLOAD)
    (tmp_path / "payload/evil.gin").write_text("import payload\n")
    assert main([DEBUG, "Train.baselines=[]", "Trainer.max_steps=4", "run.directory=runs/whole"]) == 0
    plan = [*hostile_runs(tmp_path), *hostile_data(tmp_path)]
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    watcher = [sys.executable, str(SUPPORT / "audit.py"), str(tmp_path)]
    done = subprocess.run(watcher, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["seen"] == []
    assert not list(tmp_path.rglob("executed"))
    refused = {path: outcome for path, outcome in told["outcomes"].items() if outcome not in ("read", 0)}
    assert {Path(path).name for path in refused} >= {"store", "ids.npy", "backbone.npz", "checkpoint"}
