"""Files that are made to do harm: to run code, to reach memory or other files, to fill it, or to end the process."""

import gzip
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from emprot_plugins.readers.lmdb_frames import LmdbFrames
from emprot_plugins.readers.mdcath_h5 import MdCath
from emprot_plugins.readers.plain_pickles import MAX_BYTES, load_plain
from made_files import record, write_lmdb, write_mdcath

from emprot_core.errors import EmprotError


class Calls:
    """Pickles as a call of anything with any arguments, and a state if one is given."""

    def __init__(self, function: Any, *arguments: Any, state: Any = None):
        self.reduced = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self) -> Any:
        return self.reduced


def reconstruct(dtype: Any, shape: Any, content: Any) -> Calls:
    made = np._core.multiarray._reconstruct
    return Calls(made, np.ndarray, (0,), b"b", state=(1, shape, dtype, False, content))


HOSTILE = {
    "objects": reconstruct(np.dtype("O"), (1,), [1]),
    "objects behind a dtype state": reconstruct(
        Calls(np.dtype, "i8", False, True, state=(3, "|", None, ("x",), {"x": (np.dtype("O"), 0)}, 8, 8, 0)),
        (1,),
        b"\0" * 8,
    ),
    "fewer bytes than the shape": reconstruct(np.dtype("i8"), (1 << 20,), b"\0" * 8),
    "a negative shape": reconstruct(np.dtype("i8"), (-1,), b"\0" * 8),
    "a shape that overflows": reconstruct(np.dtype("i8"), (1 << 62, 1 << 62), b""),
    "a void dtype": reconstruct(np.dtype("V8"), (1,), b"\0" * 8),
    "a dtype of objects by name": Calls(np.dtype, "O"),
    "a bytearray of a size": Calls(bytearray, 1 << 33),
    "a codec": Calls(__import__("_codecs").encode, "x", "rot13"),
    "a module": Calls(__import__("os").getcwd),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_pickle_that_asks_for_more_than_plain_arrays_is_refused(what: str) -> None:
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        content = pickle.dumps({"cluster_ids": HOSTILE[what]}, protocol)
        if what == "a dtype of objects by name":
            assert not isinstance(load_plain(content)["cluster_ids"], np.dtype)
            continue
        with pytest.raises((EmprotError, ValueError)):
            load_plain(content)


def test_a_compressed_record_of_gigabytes_is_refused_before_it_is_whole(tmp_path: Path) -> None:
    ids = np.arange(6)
    bomb = gzip.compress(bytes(MAX_BYTES + 1), 1)
    path = write_lmdb(tmp_path / "env", [record(0, ids), record(1, ids)])
    import lmdb

    with lmdb.open(str(path.parent), map_size=1 << 30) as environment, environment.begin(write=True) as transaction:
        transaction.put(b"1", bomb)
    with pytest.raises(EmprotError, match=r"record 1: it is cut short, or holds more than"):
        list(LmdbFrames().read(path))


@pytest.mark.parametrize("kept", [0.3, 0.6, 0.9])
def test_an_lmdb_file_that_is_cut_short_is_named_and_ends_no_process(tmp_path: Path, kept: float) -> None:
    path = write_lmdb(tmp_path / "env", [record(frame, np.arange(6)) for frame in range(40)])
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(EmprotError, match=r"data\.mdb (is cut short|cannot be opened)"):
        list(LmdbFrames().read(path))


def linked(path: Path, how: str) -> None:
    """A file of mdCATH whose coordinates of 320/0 lie elsewhere."""
    import h5py

    write_mdcath(path)
    secret = path.with_name("secret.h5")
    write_mdcath(secret)
    with h5py.File(path, "r+") as file:
        replica = file["1abcA00/320/0"]
        shape = replica["coords"].shape
        del replica["coords"]
        if how == "external link":
            replica["coords"] = h5py.ExternalLink(str(secret), "1abcA00/320/0/coords")
        elif how == "soft link":
            replica["coords"] = h5py.SoftLink("/1abcA00/320/1/coords")
        elif how == "raw storage":
            raw = path.with_name("raw")
            raw.write_bytes(bytes(4 * int(np.prod(shape))))
            replica.create_dataset("coords", shape, "f4", external=[(str(raw), 0, 4 * int(np.prod(shape)))])
        else:
            layout = h5py.VirtualLayout(shape, "f4")
            layout[:] = h5py.VirtualSource(str(secret), "1abcA00/320/0/coords", shape)
            replica.create_virtual_dataset("coords", layout)


@pytest.mark.parametrize("how", ["external link", "soft link", "raw storage", "virtual dataset"])
def test_hdf5_links_and_storage_in_other_files_are_not_followed(tmp_path: Path, how: str) -> None:
    pytest.importorskip("h5py")
    linked(tmp_path / "a.h5", how)
    with pytest.raises(EmprotError, match=r"a\.h5: .*(as a link, which is not followed|stored in another file)"):
        list(MdCath().read(tmp_path / "a.h5" / "320" / "0"))
