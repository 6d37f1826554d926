"""Reads pickles of numpy arrays and plain containers. Nothing in them can run code or reach memory.

Arrays are built here, from a dtype of kind i, u, f, U or S, a shape, and bytes: numpy's own functions for pickles trust
what they are given. Sizes are bounded.
"""

import io
import math
import pickle
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np

from emprot_core.errors import EmprotError

MAX_BYTES = 1 << 28
"""The most that an array, or a decompressed record, may take."""
_KINDS = "iufUS"


class Refused(EmprotError):
    """The pickle asks for something that is no plain data."""


class _Dtype:
    """Stands for a dtype until the array is built."""

    def __init__(self, text: Any, *_: Any):
        if not isinstance(text, str):
            raise Refused(f"it has a dtype {text!r}, expected one such as 'i4'")
        self._text, self._order = text, "="

    def __setstate__(self, state: Any) -> None:
        if any(part is not None for part in state[2:5]):  # the base of a subarray, names, fields
            raise Refused(f"it has a dtype {self._text!r} with fields, expected numbers or text")
        self._order = state[1] if isinstance(state[1], str) else state[1].decode("ascii")

    def real(self) -> np.dtype:
        order = self._order if self._order in "<>" else ""
        try:
            dtype = np.dtype(order + self._text.lstrip("<>=|"))
        except (TypeError, ValueError) as error:
            raise Refused(f"it has the dtype {self._text!r}, which is none") from error
        if dtype.kind not in _KINDS or dtype.names or dtype.subdtype or dtype.itemsize > MAX_BYTES:
            raise Refused(f"it has an array of dtype {self._text!r}, expected numbers or text")
        return dtype


class _Array:
    """Stands for an array, which __setstate__ describes."""

    value: np.ndarray | None = None

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, is_fortran, content = state
        self.value = _build(content, dtype, shape, "F" if is_fortran else "C")


def _build(content: Any, dtype: Any, shape: Any, order: str) -> np.ndarray:
    real = dtype.real() if isinstance(dtype, _Dtype) else None
    sizes = shape if isinstance(shape, tuple) else (shape,)
    if real is None or not all(type(size) is int and size >= 0 for size in sizes) or len(sizes) > 8:
        raise Refused(f"it has an array of shape {shape!r} and dtype {dtype!r}")
    if isinstance(content, str):
        content = content.encode("latin1")  # as protocol 2 of Python 2 has it
    num_bytes = math.prod(sizes) * real.itemsize
    if not isinstance(content, bytes | bytearray) or len(content) != num_bytes or num_bytes > MAX_BYTES:
        raise Refused(f"it has an array of shape {sizes} whose bytes do not fit it, or are too many")
    return np.frombuffer(bytes(content), real).reshape(sizes, order=order)  # type: ignore[call-overload]


def _scalar(dtype: Any, content: Any) -> Any:
    return _build(content, dtype, (1,), "C")[0]


def _bytes_only(content: Any = b"") -> bytearray:
    if not isinstance(content, bytes | bytearray):
        raise Refused("it makes a bytearray of a size that it names")
    return bytearray(content)


def _latin1(text: Any, encoding: Any = "latin1") -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise Refused(f"it encodes text by {encoding!r}")
    return text.encode("latin1")


def _new_array(*_: Any) -> _Array:
    return _Array()


_PLAIN: dict[str, Callable[..., Any]] = {
    "set": set,
    "frozenset": frozenset,
    "complex": complex,
    "bytearray": _bytes_only,
}
_ALLOWED: dict[tuple[str, str], Callable[..., Any]] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("_codecs", "encode"): _latin1,  # how old protocols store bytes
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    **{(module, name): made for module in ("builtins", "__builtin__") for name, made in _PLAIN.items()},
}
for _core in ("numpy.core", "numpy._core"):
    _ALLOWED[f"{_core}.multiarray", "_reconstruct"] = _new_array
    _ALLOWED[f"{_core}.multiarray", "scalar"] = _scalar
    _ALLOWED[f"{_core}.numeric", "_frombuffer"] = _build


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise Refused(f"it asks for {module}.{name}, expected numpy arrays and plain containers only")
        return _ALLOWED[module, name]


def load_plain(content: bytes) -> Any:
    """What a pickle holds.

    Raises:
        Refused: it holds anything but numbers, text, bytes, plain containers and numpy arrays of numbers or text.
    """
    return _real(_PlainUnpickler(io.BytesIO(content)).load())


def _real(value: Any) -> Any:
    """The value with arrays in the place of what stands for them."""
    if isinstance(value, _Array):
        if value.value is None:
            raise Refused("it has an array without content")
        return value.value
    if isinstance(value, dict):
        return {_real(key): _real(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_real(item) for item in value)
    return value
