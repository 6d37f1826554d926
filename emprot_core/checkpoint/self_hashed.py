"""Small text files that contain the SHA-256 of their content, so that even one flipped bit is noticed."""

import hashlib
import json
from pathlib import Path
from typing import Any

from emprot_core.checkpoint.files import write_text_atomically

_MARK = "# sha256 "


class Damaged(ValueError):
    """A file that does not hold what was written."""


def write_hashed_text(path: Path, text: str) -> None:
    """Write a text whose comments begin with #, atomically, with its hash as the last line."""
    write_text_atomically(path, f"{text}{_MARK}{_digest(text)}\n")


def write_hashed_json(path: Path, record: dict[str, Any]) -> None:
    """Write a record as JSON, atomically, with its hash under the key sha256."""
    write_text_atomically(path, _self_hashed(record))


def read_hashed_json(path: Path) -> dict[str, Any]:
    """The record that `write_hashed_json` wrote.

    Raises:
        Damaged: the file no longer holds what was written.
    """
    try:
        text = path.read_text()
        record = json.loads(text)
        del record["sha256"]
    except (ValueError, KeyError, TypeError) as error:
        raise Damaged(f"{path} is damaged: it cannot be read ({error})") from error
    if text != _self_hashed(record):
        raise Damaged(f"{path} is damaged: its content differs from its SHA-256")
    return record


def check_hashed(path: Path) -> None:
    """Check a file that one of the writers above wrote.

    Raises:
        Damaged: the file no longer holds what was written.
    """
    if path.suffix == ".json":
        read_hashed_json(path)
        return
    text, _, digest = path.read_bytes().rpartition(_MARK.encode())
    if digest != hashlib.sha256(text).hexdigest().encode() + b"\n":
        raise Damaged(f"{path} is damaged: its content differs from the SHA-256 in its last line")


def _self_hashed(record: dict[str, Any]) -> str:
    return json.dumps({**record, "sha256": _digest(json.dumps(record))}, indent=1) + "\n"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
