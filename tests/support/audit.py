"""Meets hostile files under an audit hook, and prints what the process did that reading data must not do.

python audit.py FOLDER     with the files that tests/runs/test_audit.py has made there
"""

import contextlib
import io
import json
import os
import sys
import sysconfig
from pathlib import Path
from typing import Any

TRUSTED = tuple(str(Path(path).resolve()) for path in (*sysconfig.get_paths().values(), sys.prefix, sys.base_prefix))
NEVER = ("os.system", "os.exec", "os.posix_spawn", "os.spawn", "subprocess.Popen", "pty.spawn")
NEVER_PREFIX = ("socket.", "ctypes.dlopen", "webbrowser.")
seen: list[str] = []


class Watch:
    """Notes forbidden events while it is on."""

    def __init__(self, places: list[Path]):
        import emprot_core

        self.places = [str(place.resolve()) for place in places]
        self.code = (*TRUSTED, str(Path(emprot_core.__file__).resolve().parents[1]), "<frozen", "<__array_function__")
        self.on = False
        sys.addaudithook(self.hear)

    def hear(self, event: str, arguments: Any) -> None:
        if not self.on:
            return
        if event in NEVER or event.startswith(NEVER_PREFIX):
            seen.append(f"{event} {str(arguments)[:80]}")
        elif event == "exec":
            name = getattr(arguments[0], "co_filename", "")
            if not str(name).startswith(self.code) and not str(name).startswith("<"):
                seen.append(f"exec of {name}")
        elif event == "import" and str(arguments[0]).partition(".")[0] == "payload":
            seen.append(f"import {arguments[0]}")
        elif event == "open" and isinstance(arguments[0], str) and self._is_write(arguments[1], arguments[2]):
            path = os.path.realpath(arguments[0])
            if not path.startswith((*self.places, "/dev/", "/proc/")) and "__pycache__" not in path:
                seen.append(f"write {path}")

    @staticmethod
    def _is_write(mode: Any, flags: Any) -> bool:
        if isinstance(mode, str):
            return bool(set(mode) & set("wax+"))
        return bool(isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


def main(folder: Path) -> None:
    from emprot_core import load_run, registry
    from emprot_core.cli import main as emprot_run
    from emprot_core.data.store import TrajectoryStore

    os.chdir(folder)
    plan = json.loads(Path("plan.json").read_text())
    places = [Path("runs").absolute(), Path(os.environ["XDG_CACHE_HOME"]).absolute()]
    watch = Watch(places)
    _warm(registry, emprot_run)
    outcomes = {}
    for kind, path in plan:
        watch.on = True
        try:
            if kind == "load_run":
                load_run(path)
            elif kind == "resume":
                with contextlib.redirect_stderr(io.StringIO()):
                    outcomes[path] = emprot_run(["--gin_file=debug.gin", "Train.baselines=[]", f"run.directory={path}"])
            elif kind == "store":
                store = TrajectoryStore(path, verify=True)
                store.array("centroids")
            else:
                for _ in registry.get("reader", kind)().read(Path(path)):
                    pass
            outcomes.setdefault(path, "read")
        except Exception as error:
            outcomes[path] = type(error).__name__
        watch.on = False
    print(json.dumps({"seen": seen, "outcomes": outcomes}))


def _warm(registry: Any, emprot_run: Any) -> None:
    """Import what is imported at the first use, so that the hook hears of hostile files alone."""
    registry.load_plugins()
    import h5py  # noqa: F401
    import lmdb  # noqa: F401
    import torch  # noqa: F401

    with contextlib.redirect_stderr(io.StringIO()):
        emprot_run(["--gin_file=debug.gin", "Train.baselines=[]", "Trainer.max_steps=1", "run.directory=runs/warm"])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
