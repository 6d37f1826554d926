"""What the field's sets cost to prepare and to train on, computed from slopes that are measured on this machine.

    python -m benchmarks.set_costs

writes XTC files of 250 residues and 16 atoms a residue, whose backbones are those of the embedded sample, and encodes
two sizes of one set: the difference between them is the slope. It prints the slopes in processor seconds, and for each
of the sets the hours of Prepare on one core and on several machines, bytes, memory of the index, and steps an epoch.
"""

import json
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from emprot_plugins.prepare.encode_all import Encoding
from emprot_plugins.prepare.fitting import groups_of
from emprot_plugins.prepare.parts import Part
from emprot_plugins.prepare.store_parts import write_stores
from emprot_plugins.prepare.store_report import report_store
from emprot_plugins.prepare.workers import run_in_workers
from emprot_plugins.readers.backbone_npz import BackboneNpz
from emprot_plugins.readers.md import MDTrajectory

from emprot_core import registry
from emprot_core.data.store import SAMPLE_ROOT, TrajectoryStore

RESIDUES, ATOMS_A_RESIDUE, FEW, MANY = 250, 16, 2, 8
CORES, MACHINES, BATCH = 64, (1, 10), 4
TRAINING_SHARE = 0.7  # of splits.ByGroup


class FieldSet(NamedTuple):
    """The shape of a set of trajectories; `residues` is the mean."""

    name: str
    trajectories: int
    frames: int
    residues: int

    @property
    def tokens(self) -> int:
        return self.trajectories * self.frames * self.residues


SETS = (
    FieldSet("ATLAS", 1390 * 3, 10_000, 250),
    FieldSet("mdCATH", 5398 * 25, 464, 137),
    FieldSet("GPCRmd, assumed", 600, 2_500, 300),
)


def write_trajectory(folder: Path, number: int) -> Path:
    """250 frames of the sample's first protein as XTC, with atoms around each backbone; the topology beside it."""
    import MDAnalysis

    whole = BackboneNpz().read(SAMPLE_ROOT / "coordinates" / "prolif_5ht1b.npz")
    backbone = whole.coordinates[:, :RESIDUES].astype(np.float32)
    noise = np.random.default_rng(number).normal(0, 1.5, (*backbone.shape[:2], ATOMS_A_RESIDUE - 4, 3))
    atoms = np.concatenate([backbone, backbone[:, :, 1:2] + noise.astype(np.float32)], axis=2)
    universe = MDAnalysis.Universe.empty(
        RESIDUES * ATOMS_A_RESIDUE,
        RESIDUES,
        atom_resindex=np.repeat(np.arange(RESIDUES), ATOMS_A_RESIDUE),
        trajectory=True,
    )
    names = ["N", "CA", "C", "O", *(f"H{i}" for i in range(ATOMS_A_RESIDUE - 4))]
    values = {"name": names * RESIDUES, "resname": ["ALA"] * RESIDUES, "resid": np.arange(1, RESIDUES + 1)}
    values |= {"segid": ["A"], "chainID": ["A"] * RESIDUES * ATOMS_A_RESIDUE}
    values |= {"element": [name[0] for name in names] * RESIDUES}
    for name, value in values.items():
        universe.add_TopologyAttr(name, value)
    universe.atoms.positions = atoms[0].reshape(-1, 3)
    universe.dimensions = [200, 200, 200, 90, 90, 90]
    universe.atoms.write(folder / "top.pdb")
    path = folder / f"t{number}.xtc"
    with MDAnalysis.Writer(str(path), RESIDUES * ATOMS_A_RESIDUE) as writer:
        for frame in atoms:
            universe.atoms.positions = frame.reshape(-1, 3)
            writer.write(universe.atoms)
    return path


def seconds_of(paths: Sequence[Path], names: Sequence[str]) -> dict[str, float]:
    """Processor seconds of reading, of each tokenizer, and of writing, checking and reporting one store."""
    tokenizers = [tokenizer(name) for name in names]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "parts"
        reader = MDTrajectory(topology=str(paths[0].with_name("top.pdb")))
        encoding = Encoding(reader, tokenizers, folder, "refuse", partial(run_in_workers, num_workers=1))
        parts: list[Part] = encoding.parts({path.stem: path for path in paths})
        started = time.process_time()
        write_stores(Path(place) / "stores", tokenizers[:1], parts, folder, groups_of(parts, "group"))
        store = TrajectoryStore(Path(place) / "stores" / names[0], verify=True)
        report_store(store, store.directory, parts, {}, parts, 1.0)
        written = time.process_time() - started
    encoded = {name: sum(part.encode_s[name] for part in parts) for name in names}
    return {"read": sum(part.read_s for part in parts), **encoded, "store": written}


def tokenizer(name: str) -> Any:
    known: dict[str, dict[str, Any]] = {
        "kmeans_environment": {"centroids": "sample:kmeans_environment", "num_clusters": 256}
    }
    return registry.get("tokenizer", name)(**known.get(name, {}))


def slopes() -> dict[str, float]:
    """Processor seconds for a million tokens of each step."""
    names = ("protein_blocks", "threedi", "kmeans_environment")
    with tempfile.TemporaryDirectory() as place:
        paths = [write_trajectory(Path(place), number) for number in range(MANY)]
        seconds_of(paths[:1], names)  # imports and first calls
        few, many = seconds_of(paths[:FEW], names), seconds_of(paths, names)
    tokens = (MANY - FEW) * 250 * RESIDUES / 1e6
    return {name: (many[name] - few[name]) / tokens for name in many}


def index_bytes() -> int:
    """Bytes of a row of index.npy with names of 16 characters."""
    return TrajectoryStore("sample:protein_blocks").index.dtype.itemsize


def cost(field: FieldSet, slope: dict[str, float], name: str = "protein_blocks") -> dict[str, Any]:
    """What a set costs with one tokenizer; the stores are written by one process, whatever the number of cores."""
    spread = (slope["read"] + slope[name]) * field.tokens / 1e6 / 3600
    alone = slope["store"] * field.tokens / 1e6 / 3600
    windows = field.trajectories * (field.frames - 13)
    return {
        "tokens": field.tokens,
        "hours_on_one_core": round(spread + alone, 2),
        **{f"hours_on_{n}_x_{CORES}_cores": round(spread / CORES / n + alone, 2) for n in MACHINES},
        "of_which_stores_are_written_in": round(alone, 2),
        "store_gb": round(2 * field.tokens / 1e9, 1),
        "index_mb": round(index_bytes() * field.trajectories / 1e6, 1),
        "steps_an_epoch": round(TRAINING_SHARE * windows / BATCH),
    }


def main() -> None:
    slope = slopes()
    print(json.dumps({"processor_seconds_a_million_tokens": {k: round(v, 3) for k, v in slope.items()}}, indent=1))
    for name in ("protein_blocks", "threedi", "kmeans_environment"):
        print(json.dumps({f"{field.name}, {name}": cost(field, slope, name) for field in SETS}, indent=1))


if __name__ == "__main__":
    main()
