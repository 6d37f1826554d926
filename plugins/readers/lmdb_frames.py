"""Reads LMDB environments of frames with cluster IDs, as earlier EMPROT pipelines wrote them (extra `lmdb`)."""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from emprot_core.contracts import RESIDUE_DTYPE, Structure
from emprot_core.errors import EmprotError
from emprot_core.registry import register

from .chunks import frames_per_chunk
from .frame_records import frame_number, load_record
from .ids_npy import ids_structure
from .layout import group_of, read_groups

_ID_TABLE = b"id_to_idx"
_FOLDER = re.compile(r".+_dyn_(?P<dynamic>[^_]+)_traj_.+")


@register("reader", "lmdb_frames")
class LmdbFrames:
    """One trajectory per environment: <file>_dyn_<dynamic>_traj_<trajectory>/data.mdb, or one folder deeper.

    Frames are sorted by the number in their `id`, because records are numbered in the string order of their file names,
    which is not the order of time. Keys that are not numbers are metadata. Records are pickles (plain, gzip or lz4)
    and are read by an unpickler that builds only numpy arrays and plain containers. Use it with tokenizers.precomputed.
    """

    def __init__(
        self,
        groups: str = "",
        key_column: str = "Dynamic id",
        group_column: str = "Uniprot ID",
        time_step_ns: float = float("nan"),
    ):
        """
        Args:
            groups: a CSV file that gives the protein of each dynamic; if empty, each dynamic is a group.
            key_column, group_column: names of the columns of that file.
            time_step_ns: time between frames; NaN if unknown.
        """
        self.groups, self.key_column, self.group_column = groups, key_column, group_column
        self.time_step_ns = time_step_ns

    def other_files(self, path: Path) -> Sequence[Path]:
        """The table of groups, if there is one."""
        return [Path(self.groups)] if self.groups else []

    def read(self, path: Path) -> Iterator[Structure]:
        """
        Raises:
            ModuleNotFoundError: lmdb is not installed, or lz4 where it is needed.
            EmprotError: the environment or a record is damaged, a record would run code, frames have different
                numbers of residues or the same number, or the table lacks the dynamic; the message names the record.
        """
        path = Path(path)
        group = self._find_group(path)
        with _open(path) as transaction:
            keys = _record_keys(transaction)
            numbers = _frame_numbers(path, transaction, keys)
            order = np.argsort(numbers, kind="stable").tolist()
            notes = _check_numbers(path, [numbers[place] for place in order])
            if order != sorted(order):
                notes += ("its records are not in the order of time and were sorted by the number in id",)
            records = ((keys[p], numbers[p]) for p in order)
            yield from _chunks(path, transaction, records, group, self.time_step_ns, notes)

    def _find_group(self, path: Path) -> str:
        found = [match["dynamic"] for part in reversed(path.parts) if (match := _FOLDER.fullmatch(part))]
        if not found:
            if self.groups:
                raise EmprotError(f"{path} lies in no folder <file>_dyn_<dynamic>_traj_<trajectory>, so has no dynamic")
            return ""
        if not self.groups:
            return f"dynamic {found[0]}"
        return group_of(read_groups(self.groups, self.key_column, self.group_column), found[0], self.groups)


@contextmanager
def _open(path: Path) -> Iterator[Any]:
    try:
        import lmdb
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("readers.lmdb_frames needs lmdb; pip install 'emprot[lmdb]'") from error
    try:
        environment = lmdb.open(
            str(path), subdir=False, readonly=True, lock=False, readahead=False, create=False, max_readers=1
        )
    except lmdb.Error as error:
        raise EmprotError(f"{path} cannot be opened as an LMDB environment ({error}); give its data.mdb") from error
    with environment, environment.begin(buffers=False) as transaction:
        whole = (environment.info()["last_pgno"] + 1) * environment.stat()["psize"]
        if path.stat().st_size < whole:  # a page that is not there would end the process by a signal
            raise EmprotError(f"{path} is cut short: {path.stat().st_size} bytes of {whole}; copy it again")
        try:
            yield transaction
        except lmdb.Error as error:
            raise EmprotError(f"{path} is damaged ({error}); copy it again") from error


def _record_keys(transaction: Any) -> list[bytes]:
    """The keys of frames in numeric order; other keys (num_examples, id_to_idx, ...) are metadata."""
    return sorted((key for key in transaction.cursor().iternext(values=False) if key.isdigit()), key=int)


def _frame_numbers(path: Path, transaction: Any, keys: list[bytes]) -> list[int]:
    """The frame number of each record, from the table id_to_idx if it covers all of them, else from the records."""
    table = transaction.get(_ID_TABLE)
    if table is not None:
        try:
            numbers = {int(place): frame_number(frame_id) for frame_id, place in load_record(table).items()}
            return [numbers[int(key)] for key in keys]
        except (ValueError, TypeError, KeyError):  # another format, or incomplete: read the records instead
            pass
    return [_number(path, key, _record(path, transaction, key)) for key in keys]


def _record(path: Path, transaction: Any, key: bytes) -> dict[str, Any]:
    try:
        return load_record(transaction.get(key))
    except ValueError as error:
        raise EmprotError(f"{path}: record {key.decode()}: {error}; leave the trajectory out") from error


def _number(path: Path, key: bytes, record: dict[str, Any]) -> int:
    try:
        return frame_number(record.get("id"))
    except ValueError as error:
        raise EmprotError(f"{path}: record {key.decode()}: {error}") from error


def _check_numbers(path: Path, numbers: list[int]) -> tuple[str, ...]:
    steps = np.diff(numbers)
    if (steps == 0).any():
        raise EmprotError(f"{path}: two records are frame {numbers[int(steps.argmin())]}, expected one of each number")
    if len(steps) and (steps != steps[0]).any():
        last = numbers[int((steps != steps[0]).argmax())]
        return (f"its frames are not evenly spaced: after frame {last} the step is no longer {steps[0]}",)
    return ()


def _chunks(
    path: Path,
    transaction: Any,
    records: Iterable[tuple[bytes, int]],
    group: str,
    time_step_ns: float,
    notes: tuple[str, ...],
) -> Iterator[Structure]:
    pending: list[np.ndarray] = []
    first: dict[str, Any] = {}
    for frame, (key, number) in enumerate(records):
        record = _record(path, transaction, key)
        if _number(path, key, record) != number:
            raise EmprotError(f"{path}: record {key.decode()} is {record['id']}, but id_to_idx says frame {number}")
        ids = np.asarray(record.get("cluster_ids", ()))
        if ids.ndim != 1 or not len(ids) or not np.issubdtype(ids.dtype, np.integer):
            raise EmprotError(
                f"{path}: record {key.decode()}, frame {frame}: cluster_ids are {ids.dtype} of shape {ids.shape}, "
                "expected integers of shape (residues,)"
            )
        first = first or {**record, "cluster_ids": ids}
        if len(ids) != len(first["cluster_ids"]):
            raise EmprotError(
                f"{path}: record {key.decode()}, frame {frame} ({record['id']}) has {len(ids)} residues, the first "
                f"frame {len(first['cluster_ids'])}; expected one number, for residues are columns of a trajectory"
            )
        pending.append(ids)
        if len(pending) == frames_per_chunk(len(ids)):
            yield ids_structure(np.stack(pending), group, time_step_ns, *_residues(first), notes)
            pending = []
    if pending:
        yield ids_structure(np.stack(pending), group, time_step_ns, *_residues(first), notes)


def _residues(record: dict[str, Any]) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Segments, which end at a new chain or a gap in the numbers, and residues; None, None without such keys."""
    count = len(record["cluster_ids"])
    numbers, chains = np.asarray(record.get("resids", ())), np.asarray(record.get("chains", ()))
    if numbers.shape != (count,) or not np.issubdtype(numbers.dtype, np.integer):
        return None, None
    broken = np.diff(numbers) != 1
    if chains.shape == (count,):
        broken |= chains[1:] != chains[:-1]
    residues = np.zeros(count, RESIDUE_DTYPE)
    residues["number"] = numbers
    return np.concatenate([[0], np.cumsum(broken)]).astype(np.int32), residues
