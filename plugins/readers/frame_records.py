"""Reads pickled records of frames without letting them run code."""

import re
import zlib
from typing import Any

from emprot_core.errors import EmprotError

from .plain_pickles import MAX_BYTES, Refused, load_plain

_GZIP, _LZ4_FRAME, _PICKLE = b"\x1f\x8b", b"\x04\x22\x4d\x18", b"\x80"


def load_record(value: bytes) -> dict[str, Any]:
    """The record in a value, which is a pickled dict, uncompressed or compressed by gzip or lz4.

    Raises:
        EmprotError: it is damaged, is not a dict, or would build anything but numpy arrays and plain containers.
        ModuleNotFoundError: it is compressed by lz4, which is not installed.
    """
    try:
        record = load_plain(_decompress(value))
    except (Refused, ModuleNotFoundError):
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
    if value.startswith(_PICKLE):
        return value
    if value.startswith(_GZIP):
        return _bounded(zlib.decompressobj(wbits=31), value)
    try:
        import lz4.block
        import lz4.frame
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "a record is compressed by lz4, which is not installed; pip install 'emprot[lmdb]'"
        ) from error
    if value.startswith(_LZ4_FRAME):
        return _bounded(lz4.frame.LZ4FrameDecompressor(), value)
    if int.from_bytes(value[:4], "little") > MAX_BYTES:
        raise Refused(f"it says that it holds more than {MAX_BYTES} bytes")
    return lz4.block.decompress(value)


def _bounded(decompressor: Any, value: bytes) -> bytes:
    content = decompressor.decompress(value, MAX_BYTES)
    if not decompressor.eof:
        raise Refused(f"it is cut short, or holds more than {MAX_BYTES} bytes")
    return content
