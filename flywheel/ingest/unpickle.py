"""Columns of a pickled pandas frame, read without running any of pandas' or numpy's unpickling code.

A pickle may name any function to call. Here only the names that a data frame needs are known, each stands for an inert class
that keeps what it was given, and arrays are rebuilt from their raw bytes afterwards. Everything else is refused by name.
Read are the layouts of pandas 0.14 to 2 (and 3 with object columns), pickle protocol 3 and later, whatever pandas is installed, or none.
(`unpickle_plain` reads containers of arrays the same way.)
"""

import io
import pickle
import re
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flywheel.errors import BadData

MAX_PICKLE_BYTES = 1 << 28
PLAIN_DTYPE = re.compile(r"[iuf](1|2|4|8)|b1|O8?")
TEXT_DTYPE = re.compile(r"[US]\d{1,4}")
Column = NDArray[Any]


def gunzip(data: bytes, *, limit: int = MAX_PICKLE_BYTES) -> bytes:
    """The decompressed bytes; BadData if they exceed the limit, or the gzip stream is damaged or cut off."""
    reader = zlib.decompressobj(wbits=31)
    try:
        plain = reader.decompress(data, limit + 1)
    except zlib.error as err:
        raise BadData(f"not gzip, or damaged: {err}") from err
    if len(plain) > limit:
        raise BadData(f"unpacks to more than {limit} bytes")
    if not reader.eof:
        raise BadData("the gzip stream is cut off")
    return plain


class Kept:
    """Keeps constructor arguments and state; does nothing with them."""

    def __init__(self, *args: Any) -> None:
        self.args, self.state = args, None

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Frame(Kept):
    pass


class _Manager(Kept):
    pass


class _Index(Kept):
    pass


class _RangeIndex(Kept):
    pass


class _NewIndex(Kept):
    pass


class _Block(Kept):
    pass


class _Slice(Kept):
    pass


class _DType(Kept):
    pass


class _ArrayType(Kept):
    pass


class KeptArray(Kept):
    pass


class KeptBuffer(Kept):
    pass


DAMAGE = (
    *(pickle.UnpicklingError, RecursionError, MemoryError, EOFError, AttributeError, KeyError, IndexError, TypeError, ValueError),
    OverflowError,
)

KNOWN: dict[tuple[str, str], type[Kept]] = {
    ("pandas.core.frame", "DataFrame"): _Frame,
    ("pandas.core.internals.managers", "BlockManager"): _Manager,
    ("pandas.core.internals", "BlockManager"): _Manager,
    ("pandas.core.indexes.base", "_new_Index"): _NewIndex,
    ("pandas.core.indexes.base", "Index"): _Index,
    ("pandas.core.indexes.range", "RangeIndex"): _RangeIndex,
    ("pandas._libs.internals", "_unpickle_block"): _Block,
    ("pandas", "DataFrame"): _Frame,
    ("pandas", "Index"): _Index,
    ("pandas", "RangeIndex"): _RangeIndex,
    ("builtins", "slice"): _Slice,
    ("numpy", "dtype"): _DType,
    ("numpy", "ndarray"): _ArrayType,
    **{(f"numpy.{core}.multiarray", "_reconstruct"): KeptArray for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): KeptBuffer for core in ("core", "_core")},
}


class Restricted(pickle.Unpickler):
    """An unpickler that knows inert stand-ins for a few names, and refuses every other name."""

    known, needs = KNOWN, "table of annotations"

    def find_class(self, module: str, name: str) -> type[Kept]:
        """The stand-in for a known name; BadData for any other."""
        if (module, name) not in self.known:
            raise BadData(f"the pickle asks for {module}.{name}, which no {self.needs} needs: refused")
        return self.known[module, name]


def frame_columns(data: bytes) -> dict[str, Column]:
    """Column name -> values of the pickled DataFrame, all of one length; BadData if it is anything else."""
    try:
        frame = Restricted(io.BytesIO(data)).load()
        manager = frame.state.get("_mgr", frame.state.get("_data")) if isinstance(frame, _Frame) and isinstance(frame.state, dict) else None
        if not isinstance(manager, _Manager):
            raise BadData("the pickle holds no DataFrame")
        return _columns(*_axes_and_blocks(manager))
    except BadData:
        raise
    except DAMAGE as err:
        raise BadData(f"damaged pickle, or a DataFrame layout that is not known: {type(err).__name__}: {str(err)[:200]}") from err


def _axes_and_blocks(manager: _Manager) -> tuple[Any, list[tuple[Any, Any]]]:
    """The two axes, and (values, places) of each block."""
    if manager.state is None:  # pandas 1.3 and later: BlockManager(blocks, axes), each block by _unpickle_block
        blocks, axes = manager.args
        return axes, [(block.args[0], block.args[1]) for block in blocks]
    layout = manager.state[3]["0.14.1"]  # pandas 0.14.1 to 1.2
    return layout["axes"], [(block["values"], block["mgr_locs"]) for block in layout["blocks"]]


def _columns(axes: Any, blocks: list[tuple[Any, Any]]) -> dict[str, Column]:
    names = [str(name) for name in array_of(axes[0].args[1]["data"])]
    found: dict[str, Column] = {}
    for values, places in blocks:
        array = array_of(values)
        at = range(*places.args) if isinstance(places, _Slice) else array_of(places)
        if array.ndim != 2 or len(at) != len(array):
            raise BadData(f"a block of {array.shape} values for {len(at)} columns")
        found |= {names[int(place)]: row for place, row in zip(at, array, strict=True)}
    if len(found) != len(names) or len({len(column) for column in found.values()}) > 1:
        raise BadData(
            f"a DataFrame with {len(names)} column names and {len(found)} columns of {sorted({len(c) for c in found.values()})} rows"
        )
    return {name: found[name] for name in names}


def array_of(kept: Any, *, text: bool = False) -> Column:
    """The array of a kept `_reconstruct` (with state) or `_frombuffer` call; text: arrays of fixed-width text are read too."""
    if isinstance(kept, KeptBuffer):
        raw, dtype, shape, order = kept.args
        return np.frombuffer(raw_bytes(raw), dtype_of(dtype, text=text)).reshape(shape, order=order)
    if not isinstance(kept, KeptArray) or kept.state is None:
        raise BadData(f"expected an array, found {type(kept).__name__.strip('_')}")
    _, shape, dtype, fortran, raw = kept.state
    kind, order = dtype_of(dtype, text=text), "F" if fortran else "C"
    if kind.kind != "O":
        return np.frombuffer(raw_bytes(raw), kind).reshape(shape, order=order)
    flat = np.empty(len(raw), object)
    flat[:] = raw
    return flat.reshape(shape, order=order)


def raw_bytes(raw: Any) -> bytes | bytearray:
    """An array's bytes; BadData if they are anything else (a number would ask for that many zeros)."""
    if not isinstance(raw, (bytes, bytearray)):
        raise BadData(f"an array's bytes are a {type(raw).__name__}")
    return raw


def dtype_of(kept: Any, *, text: bool = False) -> np.dtype[Any]:
    code = str(kept.args[0])
    if not isinstance(kept, _DType) or not (PLAIN_DTYPE.fullmatch(code) or (text and TEXT_DTYPE.fullmatch(code))):
        raise BadData(f"arrays of {code!r} are not read")
    swapped = kept.state is not None and kept.state[1] == ">"
    return np.dtype(object) if code.startswith("O") else np.dtype(code).newbyteorder(">" if swapped else "<")
