"""The fitted baselines of a run: fitted once, kept in its folder baselines/, and read from there by a resume."""

import io
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from emprot_core.contracts import Baseline, Data, SavedBaseline
from emprot_core.distributed import rank
from emprot_core.evaluation.beside_baselines import fit
from emprot_core.files import Damaged, read_hashed_json, sha256, write_atomically, write_hashed_json

_log = logging.getLogger("emprot")


def fit_or_load(baselines: Sequence[Baseline], data: Data, folder: Path, fitted_for: str, keep: bool = True) -> None:
    """Fit the baselines on the training split, or read what an earlier start kept of them.

    A baseline without a state_dict is fitted at every start.

    Args:
        fitted_for: a digest of config and data. What was kept for another one is not read.
        keep: whether to write what was fitted into the folder. Only rank 0 writes.
    """
    kept = _read_index(folder, fitted_for)
    loaded = _take(baselines, folder, kept)
    hashes = {f"{name}.npz": kept[f"{name}.npz"] for name in loaded}
    for baseline in (each for each in baselines if each.name not in loaded):
        path = folder / f"{baseline.name}.npz"
        if path.name in kept:
            _log.warning("%s is missing or damaged; the baseline is fitted again", path)
        fit(baseline, data)
        if keep and rank() == 0 and isinstance(baseline, SavedBaseline):
            hashes[path.name] = write_arrays(path, baseline.state_dict())
    if keep and rank() == 0 and hashes and hashes != kept:
        write_hashed_json(folder / "index.json", {"fitted_for": fitted_for, "files": hashes})


def load_kept(baselines: Sequence[Baseline], folder: Path, fitted_for: str) -> set[str]:
    """Give those baselines that the folder keeps whole, fitted for this config and these data, what was found then.

    Returns:
        Their names.
    """
    return _take(baselines, folder, _read_index(folder, fitted_for))


def _take(baselines: Sequence[Baseline], folder: Path, kept: Mapping[str, str]) -> set[str]:
    loaded = set()
    for baseline in baselines:
        path = folder / f"{baseline.name}.npz"
        if isinstance(baseline, SavedBaseline) and path.is_file() and kept.get(path.name) == sha256(path):
            with np.load(path, allow_pickle=False) as state:
                baseline.load_state_dict(dict(state))
            loaded.add(baseline.name)
    return loaded


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> str:
    """Write an .npz file atomically, and give its SHA-256."""
    content = io.BytesIO()
    np.savez(content, **arrays)  # type: ignore[arg-type]
    return write_atomically(path, content.getbuffer())


def _read_index(folder: Path, fitted_for: str) -> dict[str, str]:
    """The hashes of the files that were kept for this config and these data."""
    try:
        index = read_hashed_json(folder / "index.json", files=dict, fitted_for=str)
    except FileNotFoundError:
        return {}
    except Damaged as damage:
        _log.warning("%s; the baselines are fitted again", damage)
        return {}
    return dict(index["files"]) if index["fitted_for"] == fitted_for else {}
