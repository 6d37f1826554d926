"""The checkpoints of a run: a directory with one file for each step that is kept, and their index.

    index.json              {"files": {file: {"step", "metric", "sha256", "names"}}, "outdated": [...], "sha256"}
    step-00000120.pt        the state after that step, written once
    step-00000120-due.pt    the same, when the validation after that step was still to be done
    best.pt, final.pt, ...  more names of such files: hard links, or copies where the file system has none

A file counts only if its hash is in the index. A save writes the file, lists it, gives it its names and then removes
what is outdated. A run that is killed in between does the rest when it is resumed. Without an index, checkpoints are
judged by the CRC-32 of their parts (they are zip archives).
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from emprot_core.checkpoint.files import give_name, is_name_of, set_aside, sha256, write_atomically
from emprot_core.checkpoint.load import CheckpointError, State, is_whole, load_checkpoint
from emprot_core.checkpoint.self_hashed import Damaged, read_hashed_json, write_hashed_json

BEST = "best.pt"
FINAL = "final.pt"
Index = dict[str, dict[str, Any]]
_log = logging.getLogger("emprot")


class CheckpointStore:
    """Writes, verifies, rotates and finds checkpoints in one directory."""

    def __init__(self, directory: str | Path):
        self.directory = Path(directory)
        self._index_path = self.directory / "index.json"
        self._told_of_index = False

    def create(self) -> None:
        """Make the directory and its index. If the index is missing later, it was lost."""
        with _clear_words(self._index_path):
            if not self._index_path.is_file():
                self.directory.mkdir(parents=True, exist_ok=True)
                self._replace_index(*self._read_index())

    def was_never_saved_to(self) -> bool:
        """Whether the index exists but lists nothing, because no checkpoint was written yet."""
        try:
            return not read_hashed_json(self._index_path)["files"]
        except (FileNotFoundError, Damaged):
            return False

    def save(self, state: State, names: Mapping[str, int], metric: float | None = None, keep_last: int = 2) -> None:
        """Write the state as the file of its step, unless that exists already, and give the files their names.

        `names` are all names to be kept, each with the step whose file bears it. `metric` is the val/total_loss of the
        state, if it was validated. The newest `keep_last` files stay, and others stay as long as they have a name.
        Raises CheckpointError if the disk is full or broken; earlier checkpoints are not changed then.
        """
        index, name = self.index(), _file_name(state["step"], bool(state["due"]))
        with _clear_words(self.directory / name):
            if name not in index:
                self.directory.mkdir(parents=True, exist_ok=True)
                digest = write_atomically(self.directory / name, lambda file: torch.save(state, file))
                index[name] = {"step": state["step"], "metric": metric, "sha256": digest, "names": []}
            kept = _rotated(index, names, keep_last)
            self._replace_index(kept, sorted(_all_names(index) - _all_names(kept)))

    def go_on_from(self, step: int, due: bool) -> None:
        """Finish a save that was killed, and move later checkpoints (damaged, or of another run) aside."""
        if not self.directory.is_dir():
            return
        index, outdated = self._read_index()
        later = {file: entry for file, entry in index.items() if file > _file_name(step, due)}
        with _clear_words(self._index_path):
            paths = [self.directory / name for name in sorted(_all_names(later))]
            set_aside(self.directory, [path for path in paths if path.is_file()])
            self._replace_index({file: entry for file, entry in index.items() if file not in later}, outdated)

    def newest_valid(self) -> tuple[Path, State] | None:
        """The newest checkpoint that holds what was written, or None. The log names those that are damaged."""
        wrong = self.faults()
        for name, what in wrong.items():
            _log.warning("%s %s; it is left out", self.directory / name, what)
        names = [
            name for _, names in sorted(self._named().items(), reverse=True) for name in names if name not in wrong
        ]
        return (self.directory / names[0], load_checkpoint(self.directory / names[0])) if names else None

    def load(self, name: str) -> State:
        """The checkpoint with this name, after its hash was checked.

        Raises:
            CheckpointError: the name is not in the index, or its file is damaged.
        """
        known, wrong = self._named(), self.faults()
        names = next((names for names in known.values() if name in names), None)
        if names is None:
            raise CheckpointError(
                f"{self.directory} has no checkpoint {name}; it has {', '.join(self.names()) or 'none'}"
            )
        for each in names:
            if each not in wrong:
                return load_checkpoint(self.directory / each)
        raise CheckpointError(
            f"{self.directory / name} {wrong[name]}; restore it, or train again into another run.directory"
        )

    def faults(self) -> dict[str, str]:
        """For each name whose file does not hold what was written, what is wrong with the file."""
        index, named = self.index(), self._named()
        found = {name: self._fault(name, index[file]["sha256"]) for file, names in named.items() for name in names}
        return {name: what for name, what in found.items() if what}

    def names(self) -> list[str]:
        """All files in the index and all their other names, sorted."""
        return sorted(_all_names(self.index()))

    def index(self) -> Index:
        """What index.json lists. If it is missing or damaged, the files that are whole."""
        return self._read_index()[0]

    def _read_index(self) -> tuple[Index, list[str]]:
        """The files, and the names that are still to be removed."""
        try:
            record = read_hashed_json(self._index_path)
            return dict(record["files"]), list(record["outdated"])
        except FileNotFoundError:
            reason = f"{self._index_path} is missing"
        except Damaged as damage:
            reason = str(damage)
        found: Index = {}
        for path in sorted(self.directory.glob("*.pt")):
            if is_whole(path):
                state = load_checkpoint(path)
                file = _file_name(state["step"], bool(state["due"]))
                entry = found.setdefault(file, {"step": state["step"], "metric": None, "names": []})
                entry["sha256"] = sha256(path)
                entry["names"] += [path.name] * (path.name != file)
        if found and not self._told_of_index:
            _log.warning("%s; the checkpoints beside it are judged by their own CRC-32", reason)
            self._told_of_index = True
        return found, []

    def _named(self) -> dict[str, list[str]]:
        """All names of each file, its own first."""
        return {file: [file, *entry["names"]] for file, entry in self.index().items()}

    def _replace_index(self, index: Index, outdated: list[str]) -> None:
        """Write the index, give the files their names, and remove what is outdated."""
        write_hashed_json(self._index_path, {"files": dict(sorted(index.items())), "outdated": outdated})
        for file, entry in index.items():
            path, digest = self.directory / file, entry["sha256"]
            for name in entry["names"]:
                is_there = is_name_of(path, self.directory / name) or not self._fault(name, digest)
                if not is_there and not self._fault(file, digest):
                    give_name(path, self.directory / name)
        for path in (*(self.directory / name for name in outdated), *self.directory.glob(".*.partial")):
            path.unlink(missing_ok=True)

    def _fault(self, name: str, digest: str) -> str:
        try:
            whole = sha256(self.directory / name) == digest
        except FileNotFoundError:
            return "is missing"
        except OSError as error:
            return f"cannot be read ({error.strerror})"
        return "" if whole else "is damaged: its SHA-256 differs from the one in index.json"


def numbered(kind: str, step: int) -> str:
    """The name of a checkpoint of a kind ("step" or "best") and step."""
    return f"{kind}-{step:08d}.pt"


@contextmanager
def _clear_words(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CheckpointError(
            f"{path} could not be written ({error.strerror or error}); the checkpoints before it are untouched: "
            "make room, or repair the disk, and the same command goes on from the newest of them"
        ) from error


def _all_names(index: Index) -> set[str]:
    return {name for file, entry in index.items() for name in (file, *entry["names"])}


def _file_name(step: int, due: bool) -> str:
    """Names sort in the order of time: step-00000024-due.pt comes before step-00000024.pt."""
    return f"step-{step:08d}-due.pt" if due else numbered("step", step)


def _rotated(index: Index, names: Mapping[str, int], keep_last: int) -> Index:
    """The newest files and those that bear a name. A -due file goes once its step is saved without -due."""
    files = [file for file in sorted(index) if file.replace("-due", "") not in set(index) - {file}]
    named = {file: sorted(name for name, step in names.items() if numbered("step", step) == file) for file in files}
    return {f: {**index[f], "names": named[f]} for f in files if named[f] or f in files[-keep_last:]}
