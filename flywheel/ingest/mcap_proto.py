"""Foxglove messages: protobuf many at a time into columns (only of the fields that are used), or one at a time; JSON turned into it."""

import base64
import binascii
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from flywheel.errors import BadData, require
from flywheel.ingest.mcap_json import json_row
from flywheel.ingest.mcap_read import Batch, Channel

Times = NDArray[np.int64]
PREFIX = "foxglove."
# The messages that are read; a schema of any other name is never looked up.
READ = frozenset(
    {"CameraCalibration", "CompressedImage", "CompressedVideo", "LocationFix", "SceneUpdate"}
    | {"FrameTransform", "FrameTransforms", "PoseInFrame"}
)
# Of the messages that come in thousands: the fields that are used. Everything else is stepped over, not decoded.
USED: dict[str, tuple[str, ...]] = {
    "SceneUpdate": ("entities",), "SceneEntity": ("frame_id", "id", "metadata", "cubes"), "CubePrimitive": ("pose", "size"),
    "LocationFix": ("timestamp", "latitude", "longitude"),
}  # fmt: skip
# Parts that are taken out as the bytes they are: pairs of words, of which most are not looked at.
UNOPENED = {("SceneEntity", "metadata")}


def foxglove_name(channel: Channel) -> str | None:
    """`LocationFix` for a channel of foxglove.LocationFix messages in protobuf or JSON; None for one of any type that is not read."""
    name = channel.schema.removeprefix(PREFIX)
    return name if name in READ and name != channel.schema and channel.encoding in ("protobuf", "json") else None


@cache
def message_class(name: str) -> Any:
    """The generated class of `foxglove.<name>`."""
    return getattr(require(f"foxglove_schemas_protobuf.{name}_pb2", extra="ingest"), name)


def payloads_of(batch: Batch, name: str) -> list[bytes]:
    """The protobuf payloads of a batch of `foxglove.<name>`; JSON ones are turned into protobuf."""
    if batch.channel.encoding == "protobuf":
        return batch.data
    return [_from_json(batch.channel.topic, int(t), name, data) for t, data in zip(batch.t_ns, batch.data, strict=True)]


def proto(topic: str, t_ns: int, name: str, data: bytes) -> Any:
    """The decoded `foxglove.<name>` message; BadData names topic and time."""
    from google.protobuf.message import DecodeError

    try:
        return message_class(name).FromString(data)
    except DecodeError as err:
        raise BadData(f"{topic} at {t_ns} ns: not a {name}: {err}") from err


def stamp_ns(stamp: Any) -> int:
    """A protobuf Timestamp in ns; 0 where it was not set, which no recording's time is."""
    return int(stamp.seconds) * 10**9 + int(stamp.nanos)


def columns(topic: str, times: Times, name: str, payloads: Sequence[bytes]) -> pa.RecordBatch:
    """N payloads of `foxglove.<name>` as N rows of the used fields (nested as in the message); BadData names the first that is damaged."""
    try:
        return _decoded(name, list(payloads))
    except (ValueError, pa.ArrowInvalid):
        clean = [proto(topic, int(t), name, data).SerializeToString() for t, data in zip(times, payloads, strict=True)]
    try:
        return _decoded(name, clean)
    except (ValueError, pa.ArrowInvalid) as err:
        raise BadData(f"{topic}: {name} messages at {times[0]} to {times[-1]} ns cannot be decoded: {err}") from err


def _decoded(name: str, payloads: list[bytes]) -> pa.RecordBatch:
    found: pa.RecordBatch = _handler(name).list_to_record_batch(payloads)
    found.validate(full=True)
    return found


@cache
def _handler(name: str) -> Any:
    ptars = require("ptars", extra="ingest")
    descriptor = _narrowed(message_class(name).DESCRIPTOR)
    return ptars.HandlerPool([descriptor.file]).get_for_message(descriptor)


def _narrowed(descriptor: Any) -> Any:
    """The same message type without the fields that are not used, in a pool of its own."""
    from google.protobuf import descriptor_pb2, descriptor_pool

    pool, seen = descriptor_pool.DescriptorPool(), set[str]()

    def add(file: Any) -> None:
        if file.name in seen:
            return
        seen.add(file.name)
        for needed in file.dependencies:
            add(needed)
        narrowed = descriptor_pb2.FileDescriptorProto()
        file.CopyToProto(narrowed)
        for kind in (kind for kind in narrowed.message_type if kind.name in USED):
            kept = [part for part in kind.field if part.name in USED[kind.name]]
            del kind.field[:], kind.oneof_decl[:]
            kind.field.extend(kept)
            for part in (part for part in kind.field if (kind.name, part.name) in UNOPENED):
                part.type = part.TYPE_BYTES
                part.ClearField("type_name")
        pool.AddSerializedFile(narrowed.SerializeToString())

    add(descriptor.file)
    return pool.FindMessageTypeByName(descriptor.full_name)


def _from_json(topic: str, t_ns: int, name: str, data: bytes) -> bytes:
    message = message_class(name)()
    try:
        _fill(message, json_row(topic, t_ns, data))
    except (TypeError, ValueError, AttributeError, OverflowError, RecursionError, binascii.Error) as err:
        raise BadData(f"{topic} at {t_ns} ns: not a {name} in JSON: {err}") from err
    return bytes(message.SerializeToString())


def _fill(message: Any, values: dict[str, Any]) -> None:
    """Sets the fields that the message knows: bytes are base64, times are {sec, nsec} (Foxglove's JSON schemas)."""
    if message.DESCRIPTOR.full_name in ("google.protobuf.Timestamp", "google.protobuf.Duration"):
        message.seconds, message.nanos = int(values.get("sec", 0)), int(values.get("nsec", values.get("nanosec", 0)))
        return
    for part in message.DESCRIPTOR.fields:
        given = values.get(part.name)
        if given is None:
            continue
        if part.message_type is None:
            plain = [_plain(part, item) for item in given] if _repeated(part) else _plain(part, given)
            getattr(message, part.name).extend(plain) if _repeated(part) else setattr(message, part.name, plain)
        elif _repeated(part):
            for item in given:
                _fill(getattr(message, part.name).add(), item)
        else:
            getattr(message, part.name).SetInParent()
            _fill(getattr(message, part.name), given)


def _repeated(part: Any) -> bool:
    return bool(part.is_repeated)


def _plain(part: Any, value: Any) -> Any:
    from google.protobuf.descriptor import FieldDescriptor

    if part.type == FieldDescriptor.TYPE_BYTES:
        return base64.b64decode(value, validate=True)
    return float(value) if part.cpp_type in (FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT) else value
