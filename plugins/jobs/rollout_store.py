"""Rollouts on the disk: drawn chunk by chunk, kept over a kill, and then written as one store."""

import hashlib
import io
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from emprot_core.contracts import GivesProbabilities
from emprot_core.data.joined_stores import JoinedStores
from emprot_core.data.store import StoreError, StoreWriter, TrajectoryStore
from emprot_core.disk import sync_directory
from emprot_core.files import write_atomically

from .rollouts import Plan, Start, roll_out

_FRAMES_A_CHUNK = 500
_SEEDS_AT_ONCE = 32


class Origin(NamedTuple):
    """A trajectory that rollouts begin from: its row in the store, the last frame before them, and what is known."""

    row: int
    last_frame: int
    start: Start


def write_rollouts(
    directory: Path,
    forecaster: GivesProbabilities,
    origins: Sequence[Origin],
    store: TrajectoryStore | JoinedStores,
    num_rollouts: int,
    plan: Plan,
    made_by: Any,
) -> None:
    """Draw rollouts and write the store <directory>, with a trajectory <name>-seed<number> for each.

    Chunks that were drawn are kept in <directory>.parts until the store is written; a call with the same arguments goes
    on from them, and leaves a store that it finished as it is. Memory holds one chunk.

    Args:
        made_by: JSON values that tell apart what forecasts, and from what.
    """
    folder = directory.with_name(f"{directory.name}.parts")
    made = {"made_by": _digest_of([made_by, plan.num_frames, plan.input_frames, repr(plan.sampler), plan.way])}
    if directory.exists():
        if TrajectoryStore(directory).prepared != made:
            raise StoreError(f"{directory} exists, with other rollouts; remove it, or bind another Forecast.output")
        shutil.rmtree(folder, ignore_errors=True)
        return
    _begin(folder, made["made_by"])
    groups = [range(i, min(i + _SEEDS_AT_ONCE, num_rollouts)) for i in range(0, num_rollouts, _SEEDS_AT_ONCE)]
    total = len(origins) * num_rollouts * plan.num_frames
    with tqdm(total=total, desc="rollouts", unit=" frames", disable=None) as progress:
        for row, _, start in origins:
            for seeds in groups:
                for chunk in _chunks(folder / f"{row}-{seeds[0]}", plan.num_frames):
                    if not chunk.is_file():
                        _draw(chunk, forecaster, start, seeds, plan)
                    progress.update(len(seeds) * _frames_of(chunk)[1])
    unseen = folder / "store"  # a store that a kill leaves half done goes away with the folder
    shutil.rmtree(unseen, ignore_errors=True)
    _write_store(unseen, folder, origins, store, num_rollouts, plan, made)
    os.rename(unseen, directory)
    sync_directory(directory.parent)
    shutil.rmtree(folder)


def _write_store(
    unseen: Path,
    folder: Path,
    origins: Sequence[Origin],
    store: TrajectoryStore | JoinedStores,
    num_rollouts: int,
    plan: Plan,
    made: dict[str, str],
) -> None:
    with StoreWriter(unseen, store.vocabulary) as writer:
        writer.prepared = dict(made)
        source = store.stores[0] if isinstance(store, JoinedStores) else store
        for file in source.vocabulary_arrays:
            writer.add_array(Path(file).stem, source.array(Path(file).stem))
        for row, _, start in origins:
            structure = store.structure(row) or (None, None)
            for seed in range(num_rollouts):
                ids = _whole(folder / "whole.npy", folder / f"{row}-{seed - seed % _SEEDS_AT_ONCE}", seed, plan)
                writer.add(f"{start.trajectory}-seed{seed}", start.group, ids, start.time_step_ns, *structure)


def _draw(chunk: Path, forecaster: GivesProbabilities, start: Start, seeds: Sequence[int], plan: Plan) -> None:
    first, count = _frames_of(chunk)
    needed = -(-plan.input_frames // _FRAMES_A_CHUNK)  # the last chunks, which hold T frames or all there are
    before = [np.load(path) for path in list(_chunks(chunk.parent, first))[-needed:]]
    past = np.concatenate([np.broadcast_to(start.past, (len(seeds), *start.past.shape)), *before], axis=1)
    own = plan._replace(num_frames=first + count)
    blocks = roll_out(forecaster, start._replace(past=past), seeds, own, first_frame=first)
    content = io.BytesIO()
    np.save(content, np.concatenate(list(blocks), axis=1).astype(np.int32))
    write_atomically(chunk, content.getbuffer())


def _whole(path: Path, folder: Path, seed: int, plan: Plan) -> np.ndarray:
    """(frames, residues) the IDs of one rollout, in a file at `path` that is mapped into memory."""
    chunks = [np.load(chunk, mmap_mode="r") for chunk in _chunks(folder, plan.num_frames)]
    shape = (plan.num_frames, chunks[0].shape[2])
    ids = np.lib.format.open_memmap(path, mode="w+", dtype=np.int32, shape=shape)
    for place, chunk in enumerate(chunks):
        first = place * _FRAMES_A_CHUNK
        ids[first : first + chunk.shape[1]] = chunk[seed % _SEEDS_AT_ONCE]
    return ids


def _chunks(folder: Path, num_frames: int) -> Iterator[Path]:
    """The files of the chunks that make up num_frames frames."""
    for first in range(0, num_frames, _FRAMES_A_CHUNK):
        yield folder / f"{first}-{min(_FRAMES_A_CHUNK, num_frames - first)}.npy"


def _frames_of(chunk: Path) -> tuple[int, int]:
    first, count = chunk.stem.split("-")
    return int(first), int(count)


def _digest_of(made_by: Any) -> str:
    return hashlib.sha256(json.dumps(made_by, sort_keys=True).encode()).hexdigest()


def _begin(folder: Path, digest: str) -> None:
    """Make the folder of parts, without those that other arguments left."""
    key = folder / "key"
    if folder.exists() and (not key.is_file() or key.read_text() != digest):
        shutil.rmtree(folder)
    write_atomically(key, digest.encode())
