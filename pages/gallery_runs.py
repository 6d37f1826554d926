"""python -m pages --gallery: run every shipped gin file, and keep its figures and a picture for the gallery."""

import datetime
import json
import os
import resource
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pages import DOCS, GIN_CONFIGS
from pages.gallery import KEPT, NOT_RUN, first_command
from pages.gallery_pictures import draw_forecast, draw_run, draw_store

PICTURES = DOCS / "pictures" / "gallery"
MAX_LINES_TOLD = 12


def run_gallery(names: Sequence[str] = ()) -> None:
    """Run the first command in the header of each gin file, base.gin first, and write what came out.

    Args:
        names: of the gin files; all by default.

    Raises:
        CalledProcessError: a command failed.
    """
    known = json.loads(KEPT.read_text()) if KEPT.is_file() else {}
    files = [path.name for path in sorted(GIN_CONFIGS.glob("*.gin"), key=_place)]
    PICTURES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for name in files:
            if name not in NOT_RUN and (not names or name in names or name == "base.gin"):
                known[name] = _run(name, Path(folder))
                KEPT.write_text(json.dumps(dict(sorted(known.items())), indent=1) + "\n")
                print(name, known[name]["cpu_seconds"], "s of CPU time", flush=True)


def _place(path: Path) -> tuple[bool, bool, str]:
    """base.gin, then what works on its run, then variants of it, which train."""
    return path.stem != "base", path.read_text().find("\ninclude ") >= 0, path.stem


def _run(name: str, folder: Path) -> dict[str, Any]:
    """Run one file on one thread and give its figures."""
    arguments = shlex.split(first_command(name))[1:]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-m", "emprot_core", *arguments],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "100"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise subprocess.CalledProcessError(done.returncode, name, done.stdout)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    told = [line for line in done.stdout.splitlines() if line.strip()]
    return {
        "cpu_seconds": round(seconds),
        "date": datetime.date.today().isoformat(),
        "machine": f"one core of an {_processor()}, torch {version('torch').partition('+')[0]}",
        "told": told[-MAX_LINES_TOLD:],
        **_result(name, folder),
    }


def _result(name: str, folder: Path) -> dict[str, Any]:
    """Scores of the test split and a picture, where the file has them."""
    stem = Path(name).stem
    picture = PICTURES / f"{stem}.png"
    if (folder / f"runs/{stem}/metrics.jsonl").is_file():
        return {**draw_run(folder / "runs" / stem, picture), "picture": picture.name}
    if name == "evaluate.gin":
        return {
            **draw_run(folder / "runs/base", picture, folder / "runs/base/evaluation.json"),
            "picture": picture.name,
        }
    if name == "forecast.gin":
        draw_forecast(folder / "forecasts/base/residues.csv", picture)
        return {"picture": picture.name}
    if name == "prepare_sample.gin":
        draw_store(folder / "sample_stores/threedi", picture)
        return {"picture": picture.name}
    return {}


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").is_file() else []
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), "unknown processor")
