"""The file in which anybody's forecast is judged: forecast.npz, and forecast.json beside it.

forecast.npz    trajectory (W,) names and last_frame (W,) int64: which window each row is about
                probabilities (W, F, N, C) float32, N that of the largest protein; NaN for residues that are absent
forecast.json   the axes and units in words, and the digest of the windows (emprot-run --specs RUN)

Where C is large, `probabilities` may be (W, F, N, k) with `classes` (W, F, N, k) int32, the k most probable classes.
The other classes share what is left of 1.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from emprot_core.errors import EmprotError
from emprot_core.files import UNREADABLE, write_atomically, written_atomically

AXES = {
    "trajectory": "(W,) the name of the trajectory of each window",
    "last_frame": "(W,) the last input frame of each window, counted from 0; horizon h is frame last_frame + h",
    "probabilities": "(W, F, N, C) probability, 1 in all for each residue and horizon; NaN where a residue is absent",
    "classes": "(W, F, N, k) if present: probabilities are (W, F, N, k), of these classes; the others share the rest",
}


def write_forecast(
    path: str | Path,
    trajectory: np.ndarray,
    last_frame: np.ndarray,
    probabilities: np.ndarray,
    classes: np.ndarray | None = None,
    windows_digest: str = "",
    **facts: Any,
) -> None:
    """Write forecast.npz, and forecast.json beside it.

    Args:
        path: of the .npz file.
        trajectory, last_frame, probabilities, classes: see AXES; an array that is mapped into memory is not read whole.
        windows_digest: that of the windows in `emprot-run --specs RUN`.
        facts: what else forecast.json shall say, as JSON values.
    """
    path = Path(path)
    arrays = {"trajectory": np.asarray(trajectory, str), "last_frame": np.asarray(last_frame, np.int64)}
    arrays["probabilities"] = np.asarray(probabilities, np.float32)
    if classes is not None:
        arrays["classes"] = np.asarray(classes, np.int32)
    with written_atomically(path) as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
    axes = {name: AXES[name] for name in arrays}
    record = {"format": "emprot-forecast", "version": 1, "axes": axes, "windows_digest": windows_digest, **facts}
    write_atomically(path.with_suffix(".json"), f"{json.dumps(record, indent=1)}\n".encode())


def read_forecast(path: Path, num_clusters: int) -> Mapping[str, np.ndarray]:
    """The arrays of a forecast.npz, of which the shapes and dtypes were checked.

    Raises:
        EmprotError: the file is missing, damaged, or no forecast of that many classes.
    """
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            arrays = {name: file[name] for name in AXES if name in file}
        trajectory, last_frame = arrays["trajectory"], arrays["last_frame"]
        probabilities, classes = arrays["probabilities"], arrays.get("classes")
    except FileNotFoundError:
        raise EmprotError(f"there is no file {path}; give the path of a forecast.npz") from None
    except UNREADABLE as error:
        raise EmprotError(f"{path} cannot be read as a forecast ({error!r}); write it with write_forecast") from error
    is_right = (
        probabilities.ndim == 4
        and probabilities.dtype.kind == "f"
        and trajectory.shape == last_frame.shape == probabilities.shape[:1]
        and trajectory.dtype.kind == "U"
        and last_frame.dtype.kind in "iu"
        and (probabilities.shape[-1] == num_clusters if classes is None else classes.shape == probabilities.shape)
        and (classes is None or (classes.dtype.kind in "iu" and ((classes >= 0) & (classes < num_clusters)).all()))
    )
    if not is_right:
        shapes = ", ".join(f"{name} {array.dtype} {array.shape}" for name, array in arrays.items())
        raise EmprotError(f"{path} holds {shapes}; expected {AXES} with C = {num_clusters}")
    return arrays


def digest_beside(path: Path) -> str:
    """The digest of the windows that forecast.json names. It is "" if it names none, or if there is no such file."""
    beside = path.with_suffix(".json")
    if not beside.is_file():
        return ""
    try:
        return str(json.loads(beside.read_text())["windows_digest"])
    except (ValueError, KeyError, TypeError) as error:
        raise EmprotError(f"{beside} cannot be read ({error}); write it with write_forecast") from error
