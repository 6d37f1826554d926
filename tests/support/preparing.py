"""A reader and a tokenizer so simple that what Prepare must make of them is plain."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import emprot_plugins.prepare.prepare  # noqa: F401  registers the job
import numpy as np
from emprot_plugins.prepare.prepare import Prepare

from emprot_core import registry
from emprot_core.contracts import Structure, Tokenizer


class LengthReader:
    """A backbone whose size is the file's text, as `frames residues`; x of each atom is the frame."""

    def read(self, path: Path) -> Structure:
        text = path.read_text()
        if not text:
            raise ValueError(f"{path} is empty")
        frames, residues = (int(word) for word in text.split())
        coordinates = np.zeros((frames, residues, 4, 3), np.float32)
        coordinates[..., 0] = np.arange(frames)[:, None, None]
        return Structure(coordinates, np.zeros(residues, int))


class FrameParity:
    """IDs 0, 1, 0, 1, ...: the frame modulo 2; the first residue has none. Remembers what it was fitted on."""

    name = "parity"
    num_clusters = 2

    def __init__(self) -> None:
        self.fitted_on: list[tuple[int, ...]] = []

    def fit(self, structures: Iterable[Structure]) -> None:
        self.fitted_on = [structure.coordinates.shape[:2] for structure in structures]

    def encode(self, structure: Structure) -> np.ndarray:
        if structure.coordinates.shape[1] > 9:
            raise ValueError("more than 9 residues")
        ids = structure.coordinates[:, :, 1, 0].astype(int) % 2
        ids[:, 0] = -1
        return ids

    def description(self) -> Mapping[str, Any]:
        return {"name": self.name}

    def arrays(self) -> Mapping[str, np.ndarray]:
        return {"parities": np.arange(2)}


def write_files(tmp_path: Path) -> Path:
    """A folder of trajectory files of two proteins: apo/r1, apo/r2, holo/r1."""
    for name, size in {"apo/r1": "10 3", "apo/r2": "4 3", "holo/r1": "5 2"}.items():
        path = tmp_path / "md" / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(size)
    return tmp_path / "md"


def prepare(files: Path, *tokenizers: Tokenizer, **options: Any) -> Prepare:
    source = options.pop("source", str(files / "**" / "*.txt"))
    return Prepare(source, LengthReader(), tokenizers or [FrameParity()], str(files.parent / "out"), **options)


def run(job: Prepare) -> None:
    job.run(None)  # type: ignore[arg-type]  # it needs nothing of the run


def report(files: Path) -> dict[str, Any]:
    return json.loads((files.parent / "out" / "parity.report.json").read_text())


def prepared_ids(folder: Path, **options: Any) -> dict[str, Any]:
    """The report on the store of the NPY files in a folder."""
    reader, tokenizer = registry.get("reader", "ids_npy"), registry.get("tokenizer", "precomputed")
    run(Prepare(str(folder / "*.npy"), reader(), [tokenizer(num_clusters=50)], str(folder / "out"), **options))
    return json.loads((folder / "out" / "precomputed.report.json").read_text())
