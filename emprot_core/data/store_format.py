"""What a trajectory store looks like on disk, and the checks that its reader and writer share.

store.json       format, version, vocabulary, sources and licences, which frames were taken, SHA-256 and size of files
index.npy        a structured array, one row for each trajectory (INDEX_FIELDS)
ids-00000.npy    flat shards, int16 or int32: the frames x residues of one trajectory after another
structures.npy   what data.structures describes: residue tables and reference backbones, in four files
<name>.npy       arrays that belong to the vocabulary, such as centroids
"""

import difflib
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from emprot_core.batch import MISSING_ID
from emprot_core.contracts import Vocabulary
from emprot_core.errors import EmprotError

FORMAT = "emprot-store"
VERSIONS = (1, 2)
"""Those that can be read; the last one is written. Version 2 may hold structures (data.structures)."""
INDEX_FIELDS = ("name", "group", "shard", "offset", "num_frames", "num_residues", "time_step_ns")
STRUCTURE_ARRAYS = ("structure_of", "structures", "residues", "backbone")
CLASS_IDS = "class_ids"
"""An array (num_clusters,) that a store with renumbered classes has: the ID that each class had before."""
SAMPLE_PREFIX = "sample:"
SAMPLE_ROOT = Path(__file__).parent / "sample"
"""The embedded sample: one store for each vocabulary, and `coordinates`, the backbones they were made from."""


class StoreError(EmprotError):
    """A store that is missing, damaged or inconsistent."""

    page = "faults#store"


def shard_name(shard: int) -> str:
    return f"ids-{shard:05d}.npy"


def split_array(split: str) -> str:
    """Name of the array that keeps the spans of a split (data.windows.SPAN_DTYPE)."""
    return f"split_{split}"


def vocabulary_arrays(files: Mapping[str, tuple[int, str]]) -> dict[str, str]:
    """The SHA-256 of each array that defines the classes. `files` gives (size, SHA-256) of every file."""
    others = {"index.npy", *(f"{name}.npy" for name in STRUCTURE_ARRAYS)}
    starts = (shard_name(0)[:4], split_array(""))
    return {name: digest for name, (_, digest) in files.items() if name not in others and not name.startswith(starts)}


def make_index(rows: Sequence[tuple[Any, ...]]) -> np.ndarray:
    """The index with these rows (INDEX_FIELDS). Each text column is as wide as its longest entry."""
    widths = [max((len(row[column]) for row in rows), default=1) for column in (0, 1)]
    types = [f"U{widths[0]}", f"U{max(widths[1], 1)}", "i4", "i8", "i4", "i4", "f8"]
    return np.array(rows, dtype=list(zip(INDEX_FIELDS, types, strict=True)))


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def find_store(store: str | Path) -> Path:
    """The directory of a store given by path or as `sample:<vocabulary>`; StoreError if there is none."""
    name = str(store)
    if name.startswith(SAMPLE_PREFIX):
        known = sorted(path.parent.name for path in SAMPLE_ROOT.glob("*/store.json"))
        wanted = name.removeprefix(SAMPLE_PREFIX)
        if wanted not in known:
            raise StoreError(f"there is no sample {wanted!r}; the vocabularies of the sample are {', '.join(known)}")
        return SAMPLE_ROOT / wanted
    directory = Path(store)
    if not (directory / "store.json").is_file():
        raise StoreError(f"{directory} is not a trajectory store: it has no store.json; {_hint(directory)}")
    return directory


def _hint(directory: Path) -> str:
    if inside := sorted(path.parent.name for path in directory.glob("*/store.json")):
        return f"it is a folder of stores: give one of {', '.join(str(directory / name) for name in inside[:8])}"
    beside = [path.parent.name for path in directory.parent.glob("*/store.json")]
    if near := difflib.get_close_matches(directory.name, beside, n=1):
        return f"did you mean {directory.parent / near[0]}?"
    return (
        "give the path of a store (emprot-run --gin_file=prepare_sample.gin shows how one is made) or "
        f"{SAMPLE_PREFIX}<vocabulary>"
    )


def read_meta(text: bytes, path: Path) -> dict[str, Any]:
    """The content of store.json, with `vocabulary` as a Vocabulary.

    Raises:
        StoreError: the text is not JSON, has another format or version, or a part is missing or of the wrong type.
    """
    try:
        meta = json.loads(text)
        kind, version = meta["format"], meta["version"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise StoreError(f"{path} cannot be read ({_reason(error)}); copy or prepare the store again") from error
    if kind != FORMAT or version not in VERSIONS:
        raise StoreError(
            f"{path} is {kind} version {version}, expected {FORMAT} version {VERSIONS[-1]} or older; "
            "prepare the store again, or install the version of emprot that wrote it"
        )
    try:
        vocabulary = Vocabulary(**meta["vocabulary"])
        files = {str(name): (int(entry["size"]), str(entry["sha256"])) for name, entry in meta["files"].items()}
        num_clusters, sources = vocabulary.num_clusters, meta["sources"]
        prepared = dict(meta.get("prepared", {}))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise StoreError(f"{path} is damaged ({_reason(error)}); copy or prepare the store again") from error
    if (
        type(num_clusters) is not int
        or not 1 <= num_clusters < 1 << 31
        or not isinstance(sources, list)
        or "index.npy" not in files
    ):
        raise StoreError(
            f"{path} is damaged: got num_clusters = {num_clusters!r}, files {sorted(files)}, expected a positive "
            "number, and index.npy among the files; copy or prepare the store again"
        )
    return {"vocabulary": vocabulary, "sources": sources, "files": files, "prepared": prepared}


def check_ids(ids: np.ndarray, num_clusters: int, where: str, remedy: str, first_frame: int = 0) -> None:
    """Raise StoreError if one of the IDs (frames, residues) lies outside [-1, num_clusters)."""
    if ids.min() >= MISSING_ID and ids.max() < num_clusters:
        return
    frame, residue = (int(i) for i in np.argwhere((ids < MISSING_ID) | (ids >= num_clusters))[0])
    raise StoreError(
        f"{where}, frame {first_frame + frame}, residue {residue} has the ID {ids[frame, residue]}, "
        f"expected {MISSING_ID} (missing) to {num_clusters - 1}; {remedy}"
    )


def _reason(error: Exception) -> str:
    return f"it has no {error}" if isinstance(error, KeyError) else str(error)
