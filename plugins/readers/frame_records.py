"""Reads pickled records of frames without letting them run code."""

import gzip
import io
import pickle
import re
from typing import Any

from emprot_core.errors import EmprotError

_ALLOWED = {
    ("collections", "OrderedDict"),
    ("_codecs", "encode"),  # how old protocols store bytes
    *(
        (module, name)
        for module in ("builtins", "__builtin__")
        for name in ("set", "frozenset", "bytearray", "complex")
    ),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    *(
        (f"numpy.{core}.{module}", name)
        for core in ("core", "_core")
        for module, name in (("multiarray", "_reconstruct"), ("multiarray", "scalar"), ("numeric", "_frombuffer"))
    ),
}
_GZIP, _LZ4_FRAME, _PICKLE = b"\x1f\x8b", b"\x04\x22\x4d\x18", b"\x80"


class _Refused(EmprotError):
    pass


class _PlainUnpickler(pickle.Unpickler):
    """Builds numpy arrays and plain containers, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise _Refused(f"it asks for {module}.{name}, expected numpy arrays and plain containers only")
        return super().find_class(module, name)


def load_record(value: bytes) -> dict[str, Any]:
    """The record in a value, which is a pickled dict, uncompressed or compressed by gzip or lz4.

    Raises:
        EmprotError: it is damaged, is not a dict, or would build anything but numpy arrays and plain containers.
        ModuleNotFoundError: it is compressed by lz4, which is not installed.
    """
    try:
        record = _PlainUnpickler(io.BytesIO(_decompress(value))).load()
    except (_Refused, ModuleNotFoundError):
        raise
    except Exception as error:  # a damaged pickle may raise anything
        raise EmprotError(f"it cannot be read ({type(error).__name__}: {error})") from error
    if not isinstance(record, dict):
        raise EmprotError(f"it is a {type(record).__name__}, expected a dict")
    return record


def frame_number(frame_id: Any) -> int:
    """The number in a frame's `id`, the last one if there are several: frame_123.pdb is 123; ValueError without any."""
    found = re.findall(r"\d+", re.sub(r"\.\w+$", "", str(frame_id)))
    if not found:
        raise EmprotError(f"its id is {frame_id!r}, expected one with a number, such as 'frame_123.pdb'")
    return int(found[-1])


def _decompress(value: bytes) -> bytes:
    if value.startswith(_GZIP):
        return gzip.decompress(value)
    if value.startswith(_PICKLE):
        return value
    try:
        import lz4.block
        import lz4.frame
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "a record is compressed by lz4, which is not installed; pip install 'emprot[lmdb]'"
        ) from error
    return lz4.frame.decompress(value) if value.startswith(_LZ4_FRAME) else lz4.block.decompress(value)
