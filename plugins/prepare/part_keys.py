"""Identifies what a part was made of; while that is unchanged, the part is used again."""

import hashlib
import json
import pickle
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from emprot_core.contracts import Reader, Tokenizer, UsesOtherFiles

from .trajectory_files import existing_file


def part_keys(reader: Reader, tokenizers: Sequence[Tokenizer], trajectories: Mapping[str, Path]) -> dict[str, str]:
    """A hash for each trajectory, by its name.

    It covers the reader, the tokenizers, and the path, size and date of the trajectory's files.
    """
    common = _key_of_components(reader, tokenizers)
    return {name: _key(reader, path, common) for name, path in trajectories.items()}


def _key_of_components(reader: Reader, tokenizers: Sequence[Tokenizer]) -> str:
    digest = hashlib.sha256(pickle.dumps(reader))
    for tokenizer in tokenizers:
        described = [tokenizer.name, tokenizer.num_clusters, dict(tokenizer.description())]
        digest.update(json.dumps(described, sort_keys=True, default=str).encode())
        for array in tokenizer.arrays().values():
            digest.update(array.tobytes())
    return digest.hexdigest()


def _key(reader: Reader, path: Path, common: str) -> str:
    others: Iterable[Path] = reader.other_files(path) if isinstance(reader, UsesOtherFiles) else ()
    files = [file for file in (existing_file(path), *others) if file.is_file()]
    stamps = [(str(file.absolute()), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return hashlib.sha256(json.dumps([common, str(path.absolute()), stamps]).encode()).hexdigest()
