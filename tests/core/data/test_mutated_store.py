"""Stores of random damage: only errors of ours leave. A larger search stands in docs/guarantees.md."""

import json

import numpy as np
import pytest
from small_stores import write_lettered_store

from emprot_core.data.store import StoreError, TrajectoryStore

SWAPS = [(b"<i4", b"|O8"), (b"<i4", b"<c8"), (b"<U", b"|S"), (b"(", b"(("), (b"False", b"True "), (b"3", b"9")]
JSON_SWAPS = [(b"5", b"1e400"), (b"5", b"-1"), (b"5", b"99999999999"), (b"{", b"[" * 5000), (b'"letters"', b"null")]


def mutated(content: bytes, rng: np.random.Generator, is_json: bool) -> bytes:
    mode, head = rng.integers(0, 4), len(content) if is_json else min(len(content), 128)
    damaged = bytearray(content)
    if mode == 0:
        for place in rng.integers(0, head, 4):
            damaged[place] = rng.integers(0, 256)
    elif mode == 1:
        del damaged[int(rng.integers(0, len(damaged))) :]
    elif mode == 2:
        place = int(rng.integers(0, head))
        damaged[place:place] = rng.integers(32, 127, 5).astype(np.uint8).tobytes()
    else:
        swaps = JSON_SWAPS if is_json else SWAPS
        old, new = swaps[rng.integers(0, len(swaps))]
        damaged[:head] = bytes(damaged[:head]).replace(old, new, 1)
    return bytes(damaged)


@pytest.mark.parametrize("seed", range(3))
def test_only_errors_of_ours_leave_a_damaged_store(tmp_path, seed):
    rng, directory = np.random.default_rng(seed), tmp_path / "s"
    write_lettered_store(directory)
    whole = {path.name: path.read_bytes() for path in directory.iterdir()}
    refused = 0
    for _ in range(150):
        for name, content in whole.items():
            (directory / name).write_bytes(content)
        name = str(rng.choice(list(whole)))
        damaged = mutated(whole[name], rng, name == "store.json")
        (directory / name).write_bytes(damaged)
        if name != "store.json" and rng.random() < 0.6:
            meta = json.loads(whole["store.json"])
            meta["files"][name]["size"] = len(damaged)
            (directory / "store.json").write_text(json.dumps(meta))
        try:
            store = TrajectoryStore(directory)
            for row in range(len(store)):
                store.ids(row).sum()
                store.check_ids(row)
            store.array("centroids")
        except StoreError:
            refused += 1
    assert 50 < refused < 150
