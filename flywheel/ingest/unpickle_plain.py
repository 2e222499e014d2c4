"""Pickles of plain containers (dicts, lists, tuples, sets, text, numbers) and numpy arrays, read without running anything they name.

As in `unpickle`, the few names that arrays need stand for inert classes. A pickle's opcodes are looked through first: an unpickler
reserves memory for the places that a pickle names, so a few bytes could ask for gigabytes.
"""

import io
import pickletools
import re
from typing import Any

import numpy as np

from flywheel.errors import BadData
from flywheel.ingest.unpickle import DAMAGE, KNOWN, MAX_PICKLE_BYTES, Kept, KeptArray, KeptBuffer, Restricted, array_of, dtype_of, raw_bytes

MAX_OPCODES, MAX_DEPTH = 4_000_000, 64
PICKLE_MAGIC = re.compile(rb"\x80[\x02-\x05]")


class _Scalar(Kept):
    pass


class _Set(Kept):
    pass


# Arrays, single numpy numbers, and what sets were written as before protocol 4.
PLAIN: dict[tuple[str, str], type[Kept]] = {
    **{key: kind for key, kind in KNOWN.items() if key[0].startswith("numpy")},
    **{(f"numpy.{core}.multiarray", "scalar"): _Scalar for core in ("core", "_core")},
    **{(module, "set"): _Set for module in ("builtins", "__builtin__")},
}
OPCODES = frozenset({
    "PROTO", "FRAME", "STOP", "MARK", "POP", "MEMOIZE", "BINPUT", "LONG_BINPUT", "BINGET", "LONG_BINGET", "NONE", "NEWTRUE", "NEWFALSE",
    "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES",
    "BINBYTES8", "BYTEARRAY8", "BINSTRING", "SHORT_BINSTRING", "GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD", "EMPTY_DICT", "EMPTY_LIST",
    "EMPTY_SET", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "LIST", "DICT", "FROZENSET", "SETITEM", "SETITEMS", "APPEND",
    "APPENDS", "ADDITEMS",
})  # fmt: skip


class _PlainUnpickler(Restricted):
    known, needs = PLAIN, "container of arrays"


def plain_objects(data: bytes) -> Any:
    """The dicts, lists, tuples, texts, numbers and arrays of a pickle (sets as lists); BadData if it holds or does anything else."""
    if not PICKLE_MAGIC.match(data) or len(data) > MAX_PICKLE_BYTES:
        raise BadData(f"no pickle of protocol 2 to 5 under {MAX_PICKLE_BYTES} bytes: starts with {data[:4].hex()}")
    try:
        _look_through(data)
        return _Plain().of(_PlainUnpickler(io.BytesIO(data)).load(), 0)
    except BadData:
        raise
    except DAMAGE as err:
        raise BadData(f"damaged pickle: {type(err).__name__}: {str(err)[:200]}") from err


def _look_through(data: bytes) -> None:
    """BadData for an opcode that plain data has no use for, for too many of them, or for a memo place out of reach."""
    for count, (opcode, arg, _) in enumerate(pickletools.genops(data)):
        if opcode.name == "GLOBAL" and tuple(str(arg).split(" ", 1)) not in PLAIN:
            raise BadData(f"the pickle asks for {str(arg).replace(' ', '.')}, which no container of arrays needs: refused")
        if opcode.name not in OPCODES:
            raise BadData(f"the pickle uses {opcode.name}, which no container of arrays needs: refused")
        if count > MAX_OPCODES or (opcode.name == "LONG_BINPUT" and arg is not None and int(arg) > MAX_OPCODES):
            raise BadData(f"the pickle has more than {MAX_OPCODES} parts")


class _Plain:
    """Turns what an unpickler kept into plain objects, each once, however often it is referred to."""

    def __init__(self) -> None:
        self.done: dict[int, Any] = {}

    def of(self, kept: Any, depth: int) -> Any:
        """The plain object; BadData if it lies too deep or is no plain object."""
        if kept is None or isinstance(kept, (bool, int, float, str, bytes, bytearray)):
            return kept
        if depth > MAX_DEPTH:
            raise BadData(f"the pickle is nested more than {MAX_DEPTH} levels deep")
        if id(kept) not in self.done:
            self.done[id(kept)] = None  # a container that holds itself finds nothing there
            self.done[id(kept)] = self._made(kept, depth + 1)
        return self.done[id(kept)]

    def _made(self, kept: Any, depth: int) -> Any:
        match kept:
            case dict():
                return {self.of(key, depth): self.of(value, depth) for key, value in kept.items()}
            case tuple():
                return tuple([self.of(value, depth) for value in kept])
            case list() | set() | frozenset():
                return [self.of(value, depth) for value in kept]
            case _Set():
                return [self.of(value, depth) for value in (kept.args[0] if kept.args else ())]
            case _Scalar():
                return np.frombuffer(raw_bytes(kept.args[1]), dtype_of(kept.args[0], text=True))[0].item()
            case KeptArray() | KeptBuffer():
                return self._array(kept, depth)
        raise BadData(f"the pickle holds a {type(kept).__name__.strip('_')}, which is no plain data")

    def _array(self, kept: Kept, depth: int) -> Any:
        array = array_of(kept, text=True)
        if array.dtype.kind != "O":
            return array
        made = np.empty(array.size, object)
        made[:] = [self.of(value, depth) for value in array.ravel()]
        return made.reshape(array.shape)
