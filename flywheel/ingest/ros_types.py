"""ROS message types: from a type's name and definition text to a function that decodes its messages, whatever the text holds.

The decoding is that of `rosbags`, which turns definitions into Python code: so a definition is parsed by its grammar, then measured,
and only then handed on. Types without a definition are looked up in the newest ROS 2 (or ROS 1 noetic) type store, then in ours.
"""

import re
import struct
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, NamedTuple

from flywheel.errors import BadData, require
from flywheel.ingest.ros_definitions import DEFINITIONS

MAX_DEFINITION_CHARS = 1 << 18
MAX_MESSAGE_BYTES, MAX_IMAGE_BYTES = 1 << 23, 1 << 28
MAX_TYPES, MAX_FIELDS, MAX_NUMBERS, MAX_MEMBERS = 256, 2000, 1 << 16, 64
MAX_SEQUENCE = 1 << 16
IMAGES = frozenset({"sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"})
TYPE_NAME = re.compile(r"([A-Za-z][A-Za-z0-9_]{0,99})/(?:msg/)?([A-Za-z][A-Za-z0-9_]{0,99})")
HEADER = re.compile(r"(?:std_msgs/(?:msg/)?)?Header\s+\w+")
SEPARATOR = re.compile(r"^={20,}[ \t]*$", re.MULTILINE)
# What rosbags raises, besides its own errors, on definitions and bytes that are not what they should be.
DAMAGE = (
    struct.error, ValueError, KeyError, IndexError, TypeError, AttributeError, AssertionError, RecursionError, OverflowError, MemoryError,
)  # fmt: skip

Decode = Callable[[bytes], Any]


class MessageType(NamedTuple):
    """How to read one channel's messages. decode raises BadData; stamp gives the header's int64 ns, None where there is none."""

    name: str
    decode: Decode
    stamp: Callable[[bytes], int | None]


def type_name(said: str) -> str:
    """The name as `package/msg/Type`; unchanged if it is no type's name."""
    found = TYPE_NAME.fullmatch(said)
    return f"{found[1]}/msg/{found[2]}" if found else said


def message_type(said: str, *, definition: str, encoding: str, wanted: bool) -> MessageType:
    """How to read messages of a type; only a wanted type's definition is compiled. BadData if that cannot be done."""
    name, ros1 = type_name(said), encoding == "ros1msg"
    text = definition or DEFINITIONS.get(name, "")
    decode = decoder(name, text, ros1=ros1) if wanted else _refuse
    return MessageType(name=name, decode=decode, stamp=(_stamp_ros1 if ros1 else _stamp_cdr) if stamped(name, text, ros1=ros1) else _none)


def stamped(name: str, definition: str, *, ros1: bool) -> bool:
    """Whether messages of the type begin with a std_msgs/Header."""
    if definition:
        lines = (line.split("#")[0].strip() for line in definition[:MAX_DEFINITION_CHARS].splitlines())
        return HEADER.fullmatch(next((line for line in lines if line and "=" not in line), "")) is not None
    known = standard_store(ros1=ros1).fielddefs.get(name)
    return bool(known and known[1] and known[1][0][1][1] == "std_msgs/msg/Header")


@cache
def standard_store(*, ros1: bool) -> Any:
    """The standard types of ROS 1 noetic or of the newest ROS 2."""
    typesys = require("rosbags.typesys", extra="ingest")
    store = typesys.get_typestore(typesys.Stores.ROS1_NOETIC if ros1 else typesys.Stores.LATEST)
    store.max_sequence_length = MAX_IMAGE_BYTES
    return store


@cache
def decoder(name: str, definition: str, *, ros1: bool) -> Decode:
    """The function that decodes a type's messages; BadData if the definition is unknown, malformed or out of measure."""
    serde, typesys = require("rosbags.serde", extra="ingest"), require("rosbags.typesys", extra="ingest")
    limit = MAX_IMAGE_BYTES if name in IMAGES else MAX_MESSAGE_BYTES
    try:
        store = _own_store(name, definition, ros1=ros1) if definition else standard_store(ros1=ros1)
        if name not in store.fielddefs:
            raise BadData(f"{name}: the log holds no definition of this type, and it is no standard one")
        store.get_msgdef(name)
    except (typesys.TypesysError, SyntaxError, *DAMAGE) as err:
        raise BadData(f"{name}: its definition cannot be used: {type(err).__name__}: {str(err)[:200]}") from err
    convert = store.deserialize_ros1 if ros1 else store.deserialize_cdr

    def decode(data: bytes) -> Any:
        if len(data) > limit:
            raise BadData(f"a message of {len(data)} bytes; at most {limit} are allowed for {name}")
        try:
            return convert(data, name)
        except (serde.SerdeError, *DAMAGE) as err:
            raise BadData(f"not a {name}: {str(err)[:200] or type(err).__name__}") from err

    return decode


def _own_store(name: str, definition: str, *, ros1: bool) -> Any:
    """A type store of the definition's types alone, with the standard ones where it leaves some out."""
    typesys = require("rosbags.typesys", extra="ingest")
    if len(definition) > MAX_DEFINITION_CHARS:
        raise BadData(f"{name}: a definition of {len(definition)} characters; at most {MAX_DEFINITION_CHARS} are allowed")
    types = typesys.get_types_from_msg(SEPARATOR.sub("=" * 80, definition).replace("\r\n", "\n"), name)
    standard = standard_store(ros1=ros1).fielddefs
    check_types(types)
    missing = {used for _, fields in types.values() for _, kind in fields if (used := _named(kind)) and used not in types}
    while missing:
        types |= {used: standard[used] for used in missing}
        missing = {used for new in missing for _, kind in standard[new][1] if (used := _named(kind)) and used not in types}
    store = typesys.get_typestore(typesys.Stores.EMPTY)
    store.max_sequence_length = MAX_IMAGE_BYTES if name in IMAGES else MAX_SEQUENCE
    store.register({used: kind for used, kind in types.items() if used not in store.fielddefs})
    return store


def check_types(types: Mapping[str, Any]) -> None:
    """BadData if definitions are so many, so long or so wide that compiling them would take undue time or memory."""
    fields = [(name, kind) for name, (_, members) in types.items() for _, kind in members]
    if len(types) > MAX_TYPES or len(fields) > MAX_FIELDS:
        raise BadData(f"a definition with {len(types)} types and {len(fields)} fields; at most {MAX_TYPES} and {MAX_FIELDS} are allowed")
    for name, kind in fields:
        size = kind[1][1] if _is(kind, "ARRAY") else 1
        numbers = _is(kind, "ARRAY") and _is(kind[1][0], "BASE") and kind[1][0][1][0] not in ("string", "wstring")
        if not 1 <= size <= (MAX_NUMBERS if numbers else MAX_MEMBERS):
            raise BadData(f"{name}: a definition with a fixed array of {size}")


def _is(kind: Any, node: str) -> bool:
    return bool(kind[0].name == node)


def _named(kind: Any) -> str | None:
    """The message type that a field is, or is an array of."""
    inner = kind[1][0] if kind[0].name in ("ARRAY", "SEQUENCE") else kind
    return str(inner[1]) if inner[0].name == "NAME" else None


def _refuse(data: bytes) -> Any:
    raise BadData("messages of this type are not decoded")


def _none(data: bytes) -> int | None:
    return None


def _stamp_cdr(data: bytes) -> int | None:
    """The stamp of a CDR message that begins with a header: after the 4 bytes that say its byte order."""
    if len(data) < 12:
        return None
    seconds, nanos = struct.unpack_from("<iI" if data[1] & 1 else ">iI", data, 4)
    return int(seconds) * 10**9 + int(nanos) or None


def _stamp_ros1(data: bytes) -> int | None:
    """The stamp of a ROS 1 message that begins with a header: after its sequence number."""
    if len(data) < 12:
        return None
    seconds, nanos = struct.unpack_from("<II", data, 4)
    return int(seconds) * 10**9 + int(nanos) or None
