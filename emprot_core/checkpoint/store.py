"""The checkpoints of a run: a directory with one file for each step that is kept, and their index.

    index.json              {"files": {name: SHA-256}, "outdated": [name, ...], "sha256": that of the rest}
    step-00000120.pt        the state after that step, written once
    step-00000120-due.pt    the same, when the validation after that step was still to be done
    best.pt, final.pt, ...  more names of such files: hard links, or copies where the file system has none

A file counts only if its hash is in the index. All names of one file have the same hash. A save writes the file, lists
it, gives it its names and then removes what is outdated. A run that is killed in between does the rest when it is
resumed. Without an index, checkpoints are judged by the CRC-32 of their parts (they are zip archives).
"""

import io
import logging
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from emprot_core import files
from emprot_core.checkpoint.names import Index, file_name, is_ours, own_names, rotated
from emprot_core.errors import EmprotError

State = dict[str, Any]
_log = logging.getLogger("emprot")


class CheckpointError(EmprotError):
    """A checkpoint that is missing, damaged, lacks a piece, or could not be written."""

    page = "faults#checkpoint"


class CheckpointStore:
    """Writes, verifies, rotates and finds checkpoints in one directory."""

    def __init__(self, directory: str | Path):
        self.directory = Path(directory)
        self._index_path = self.directory / "index.json"
        self._told_of_index = False

    def create(self) -> None:
        """Make the directory and its index. If the index is missing later, it was lost."""
        if not self._index_path.is_file():
            with _clear_words(self._index_path):
                self._replace_index(*self._read_index())

    def was_never_saved_to(self) -> bool:
        """Whether the index exists but lists nothing, because no checkpoint was written yet."""
        try:
            return not files.read_hashed_json(self._index_path, files=dict)["files"]
        except (FileNotFoundError, files.Damaged):
            return False

    def save(self, state: State, names: Mapping[str, int], keep_last: int = 2) -> None:
        """Write the state as the file of its step, unless that exists already, and give the files their names.

        `names` are all names to be kept, each with the step whose file bears it. The newest `keep_last` files stay, and
        others stay as long as they have a name.
        Raises CheckpointError if the disk is full or broken; earlier checkpoints are not changed then.
        """
        index, name = self.index(), file_name(state["step"], bool(state["due"]))
        with _clear_words(self.directory / name):
            if name not in index:
                # In memory first: torch.save would hide what is wrong with a disk behind an error of its own.
                data = io.BytesIO()
                torch.save(state, data)
                index[name] = files.write_atomically(self.directory / name, data.getbuffer())
            kept = rotated(index, names, keep_last)
            self._replace_index(kept, sorted(index.keys() - kept.keys()))

    def go_on_from(self, step: int, due: bool) -> None:
        """Finish a save that was killed, and move later checkpoints (damaged, or of another run) aside."""
        index, outdated = self._read_index()
        later = {index[name] for name in own_names(index) if name > file_name(step, due)}
        with _clear_words(self._index_path):
            paths = [self.directory / name for name in sorted(index) if index[name] in later]
            files.set_aside(self.directory, [path for path in paths if path.is_file()])
            self._replace_index({name: digest for name, digest in index.items() if digest not in later}, outdated)

    def newest_valid(self) -> tuple[Path, State] | None:
        """The newest checkpoint that holds what was written, or None. The log names those that are damaged."""
        wrong = self.faults()
        for name, what in wrong.items():
            _log.warning("%s %s; it is left out", self.directory / name, what)
        paths = [path for name in own_names(self.index()) if (path := self._whole(name, wrong))]
        return (paths[-1], load_checkpoint(paths[-1])) if paths else None

    def load(self, name: str) -> State:
        """The checkpoint with this name, after its hash was checked.

        Raises:
            CheckpointError: the name is not in the index, or its file is damaged.
        """
        if name not in self.names():
            raise CheckpointError(
                f"{self.directory} has no checkpoint {name}; it has {', '.join(self.names()) or 'none'}"
            )
        wrong = self.faults()
        if path := self._whole(name, wrong):
            return load_checkpoint(path)
        raise CheckpointError(
            f"{self.directory / name} {wrong[name]}; restore it, or train again into another run.directory"
        )

    def faults(self) -> dict[str, str]:
        """For each name whose file does not hold what was written, what is wrong with the file."""
        found = {name: files.fault_of(self.directory / name, digest) for name, digest in self.index().items()}
        return {name: what for name, what in found.items() if what}

    def names(self) -> list[str]:
        """All names in the index, sorted."""
        return sorted(self.index())

    def index(self) -> Index:
        """What index.json lists. If it is missing or damaged, the files that are whole."""
        return self._read_index()[0]

    def _whole(self, name: str, wrong: Mapping[str, str]) -> Path | None:
        """The path of a file under this name, or under another of its names if that one is among the `wrong`."""
        index = self.index()
        names = [name, *(other for other in index if index[other] == index[name])]
        return next((self.directory / each for each in names if each not in wrong), None)

    def _read_index(self) -> tuple[Index, list[str]]:
        """The files, and the names that are still to be removed."""
        try:
            record = files.read_hashed_json(self._index_path, files=dict, outdated=list)
            if not all(isinstance(text, str) for text in (*record["files"].values(), *record["outdated"])):
                raise files.Damaged(f"{self._index_path} is damaged: it lists something else than names and hashes")
            return record["files"], record["outdated"]
        except FileNotFoundError:
            reason = f"{self._index_path} is missing"
        except files.Damaged as damage:
            reason = str(damage)
        found: Index = {}
        for path in sorted(filter(is_ours, self.directory.glob("*.pt")), reverse=True):
            if is_whole(path):
                state, digest = load_checkpoint(path), files.sha256(path)
                if found.setdefault(file_name(state["step"], bool(state["due"])), digest) == digest:
                    found[path.name] = digest
        if found and not self._told_of_index:
            _log.warning("%s; the checkpoints beside it are judged by their own CRC-32", reason)
            self._told_of_index = True
        return found, []

    def _replace_index(self, index: Index, outdated: list[str]) -> None:
        """Write the index, give the files their names, and remove what is outdated."""
        files.write_hashed_json(self._index_path, {"files": dict(sorted(index.items())), "outdated": outdated})
        written = {index[name]: self.directory / name for name in own_names(index)}
        for name, digest in index.items():
            path = self.directory / name
            is_there = files.is_name_of(written[digest], path) or not files.fault_of(path, digest)
            if not is_there and not files.fault_of(written[digest], digest):
                files.give_name(written[digest], path)
        for path in (*(self.directory / name for name in outdated), *self.directory.glob(".*.partial")):
            path.unlink(missing_ok=True)


def load_checkpoint(path: str | Path) -> State:
    """The state in a checkpoint file, on the CPU. Nothing in the file can run code (weights_only).

    Raises:
        CheckpointError: the file is missing, is no checkpoint, or holds more than tensors and plain values.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path} is not a file; give the path of a checkpoint, e.g. RUN_DIR/checkpoints/best.pt")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # which one depends on the damage: EOFError, RuntimeError, pickle's
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"{path} is not a readable checkpoint ({reason}); use another one") from error
    if not isinstance(state, dict) or "model_state_dict" not in state:
        raise CheckpointError(f"{path} holds no model_state_dict; give a checkpoint that EMPROT wrote")
    return state


def is_whole(path: Path) -> bool:
    """Whether all parts of a checkpoint match their CRC-32: a weaker test than the SHA-256 in an index."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None and "step" in load_checkpoint(path)
    except Exception:  # which error zipfile raises depends on the damage
        return False


@contextmanager
def _clear_words(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CheckpointError(
            f"{path} could not be written ({error.strerror or error}); the checkpoints before it are untouched: "
            "make room, or repair the disk, and the same command goes on from the newest of them"
        ) from error
