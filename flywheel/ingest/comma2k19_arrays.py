"""The arrays of a comma2k19 segment: extension-less .npy files, read without pickle and never larger than the file that holds them."""

import io
import struct
import tokenize
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flywheel.errors import BadData
from flywheel.ingest.drive import Log

Array = NDArray[np.float64]
MAX_FILE_BYTES = 1 << 28
MAX_HEADER_BYTES = 10_000
# More than an epoch in ms, or any length in metres on earth.
MAX_VALUE = 1e13
# A phone that has been up for thirty years.
MAX_BOOT_S = 1e9
KINDS = frozenset("fiubS")
DAMAGE = (
    ValueError,
    TypeError,
    KeyError,
    SyntaxError,
    EOFError,
    OverflowError,
    RecursionError,
    MemoryError,
    struct.error,
    tokenize.TokenError,
)


class Channel(NamedTuple):
    """One sensor's samples: (N,) boot seconds and (N, K) values."""

    name: str
    t_s: Array
    values: Array


def load_array(log: Log, path: str) -> NDArray[Any]:
    """A numeric or byte-string array of the log; BadData if the file is no .npy, holds objects, or is shorter than it declares."""
    data = log.read(path, limit=MAX_FILE_BYTES)
    try:
        shape, fortran, dtype, offset = _header(io.BytesIO(data))
    except DAMAGE as err:
        raise BadData(f"{path}: not a NumPy array file: {type(err).__name__}: {str(err)[:200]}") from err
    if dtype.kind not in KINDS or dtype.itemsize == 0 or any(size < 0 for size in shape):
        raise BadData(f"{path}: holds {dtype} {shape}; only numbers and byte strings are read")
    count = _product(shape)
    if count * dtype.itemsize != len(data) - offset:
        raise BadData(f"{path}: declares {shape} {dtype} but holds {len(data) - offset} bytes of data: cut off or damaged")
    return np.frombuffer(data, dtype, count=count, offset=offset).reshape(shape, order="F" if fortran else "C")


def _header(stream: io.BytesIO) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    version = np.lib.format.read_magic(stream)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in readers:
        raise ValueError(f"version {version} of the format")
    shape, fortran, dtype = readers[version](stream, max_header_size=MAX_HEADER_BYTES)
    return tuple(int(size) for size in shape), fortran, dtype, stream.tell()


def _product(shape: tuple[int, ...]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count


def load_channel(log: Log, folder: str, *, columns: int | None = None) -> Channel | None:
    """The `t` and `value` of a channel's folder, None where there is none; BadData if they do not fit together.

    columns: how many values a row must have at least. Values may hold NaN (radar and raw GNSS do); times may not.
    """
    if f"{folder}/t" not in log.paths or f"{folder}/value" not in log.paths:
        return None
    times, values = numbers(log, f"{folder}/t"), numbers(log, f"{folder}/value")
    values = values.reshape(len(values), -1) if values.ndim and len(values) else values.reshape(0, columns or 1)
    if times.ndim != 1 or len(times) != len(values):
        raise BadData(f"{folder}: {times.shape} times for {values.shape} values")
    if columns is not None and values.shape[1] < columns:
        raise BadData(f"{folder}/value: {values.shape[1]} values a row, at least {columns} are needed")
    return Channel(folder.removeprefix("processed_log/"), boot_seconds(f"{folder}/t", times), values)


def numbers(log: Log, path: str) -> Array:
    """An array as float64; BadData if it does not hold numbers."""
    found = load_array(log, path)
    if found.dtype.kind == "S":
        raise BadData(f"{path}: holds {found.dtype}, numbers are needed")
    return np.asarray(found, np.float64)


def finite(where: str, values: Array) -> Array:
    """The values; BadData at the first NaN or infinity, or number that no sensor gives."""
    with np.errstate(invalid="ignore"):
        good = (np.abs(values) < MAX_VALUE).reshape(len(values), -1).all(axis=1) if len(values) else np.ones(0, bool)
    bad = np.flatnonzero(~good)
    if len(bad):
        raise BadData(
            f"{where}: row {bad[0]} is {values[bad[0]]} (and {len(bad) - 1} more rows): values must be finite and below {MAX_VALUE:g}"
        )
    return values


def boot_seconds(where: str, values: Array) -> Array:
    """The values as (N,) boot seconds; BadData for one that cannot be."""
    found = finite(where, values.reshape(-1))
    if len(found) and float(np.abs(found).max()) > MAX_BOOT_S:
        raise BadData(f"{where}: reaches {found[int(np.argmax(np.abs(found)))]:g}, which is no time since a boot in seconds")
    return found


def rising(channel: Channel) -> Channel:
    """The channel with repeated times left out (the first sample of each is kept); BadData if time goes back or a value is not finite."""
    steps = np.diff(channel.t_s)
    back = np.flatnonzero(steps < 0)
    if len(back):
        at = int(back[0])
        raise BadData(f"{channel.name}: time goes back from {channel.t_s[at]} s to {channel.t_s[at + 1]} s ({len(back)} such steps)")
    kept = np.r_[True, steps > 0][: len(channel.t_s)]
    return Channel(channel.name, channel.t_s[kept], finite(channel.name, channel.values)[kept])
