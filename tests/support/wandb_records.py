"""Reads the records of wandb offline: a log in the format of LevelDB, whose entries are messages of wandb."""

import json
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BLOCK, HEADER = 32768, 7


def history(path: Path) -> dict[int, dict[str, Any]]:
    """The values of every step; a step that occurs twice is an error."""
    found: dict[int, dict[str, Any]] = {}
    for record in records(path):
        if record.WhichOneof("record_type") == "history":
            pairs = record.history.item
            row = {item.key or item.nested_key[0]: json.loads(item.value_json) for item in pairs}
            assert row["_step"] not in found, f"step {row['_step']} occurs twice"
            found[row["_step"]] = {name: value for name, value in row.items() if not name.startswith("_")}
    return found


def summary(path: Path) -> dict[str, Any]:
    pairs = [item for record in records(path) for item in record.summary.update]
    return {item.key or item.nested_key[0]: json.loads(item.value_json) for item in pairs}


def run_id(path: Path) -> str:
    return next(record.run.run_id for record in records(path) if record.WhichOneof("record_type") == "run")


def records(path: Path) -> list[Any]:
    """The messages of a run that was finished."""
    deadline = time.monotonic() + 30
    while "exit" not in [record.WhichOneof("record_type") for record in messages(path)]:
        assert time.monotonic() < deadline, "the record has no end"
        time.sleep(0.05)  # the process of wandb writes the end just after run.finish() came back
    return list(messages(path))


def messages(path: Path) -> Iterator[Any]:
    """What is in the file by now: the log of LevelDB (doc/log_format.md there) after a header of seven bytes."""
    from wandb.proto import wandb_internal_pb2

    data, at, whole = path.read_bytes(), HEADER, b""
    assert data[:4] in (b":W&B", b"")
    while at + HEADER <= len(data):
        if BLOCK - at % BLOCK < HEADER:  # too little is left of the block for another part
            at += BLOCK - at % BLOCK
            continue
        _, length, kind = struct.unpack("<IHB", data[at : at + HEADER])
        if at + HEADER + length > len(data):
            return
        whole += data[at + HEADER : at + HEADER + length]
        at += HEADER + length
        if kind in (1, 4):  # full, last
            yield wandb_internal_pb2.Record.FromString(whole)
            whole = b""
