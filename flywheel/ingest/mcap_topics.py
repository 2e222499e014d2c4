"""Messages of each topic to rows and arrays: JSON by column, protobuf by Foxglove's own schemas."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from flywheel.errors import BadData, BadSchema, require
from flywheel.ingest.mcap_read import Message
from flywheel.ingest.quality import check_finite, check_times
from flywheel.ingest.signals import Stream
from flywheel.tables import SCHEMAS

Row = dict[str, Any]
Samples = list[tuple[int, Row]]

EGO, IMU, GNSS, ENVIRONMENT = "/ego/state", "/imu", "/gnss", "/environment"
TRACKS, LIGHTS, LANES = "/tracks", "/lights", "/lane"
CLASSES = frozenset({"car", "truck", "bus", "pedestrian", "cyclist", "other"})
LIGHT_STATES = frozenset({"red", "yellow", "green"})

_EGO = ("speed_mps", "ax_mps2", "ay_mps2", "yaw_rate_radps", "steering_rad", "brake", "throttle", "x_m", "y_m", "heading_rad")
_IMU = ("ax_mps2", "ay_mps2", "az_mps2", "yaw_rate_radps")
_SKY = ("sun_elevation_deg", "sun_azimuth_rad", "illuminance_lx", "visibility_m", "rain_mmph", "snow_mmph")
# Topic -> {field of the message: column of SIGNALS}; the first topic's clock carries the rows.
SIGNAL_TOPICS: dict[str, dict[str, str]] = {
    EGO: {name: name for name in _EGO},
    IMU: {name: f"imu_{name}" for name in _IMU},
    GNSS: {"latitude": "lat_deg", "longitude": "lon_deg"},
    ENVIRONMENT: {name: name for name in _SKY},
}


def schema_of(message: Message, *, expected: str) -> None:
    """BadData unless the message has the schema its topic must have."""
    if message.schema != expected:
        raise BadData(f"{message.topic}: schema {message.schema!r}, expected {expected!r}")


def proto(message: Message, name: str) -> Any:
    """The decoded `foxglove.<name>` message."""
    from google.protobuf.message import DecodeError

    schema_of(message, expected=f"foxglove.{name}")
    kind = getattr(require(f"foxglove_schemas_protobuf.{name}_pb2", extra="ingest"), name)
    try:
        return kind.FromString(message.data)
    except DecodeError as err:
        raise BadData(f"{message.topic} at {message.t_ns} ns: not a {name}: {err}") from err


def json_row(message: Message) -> Row:
    """The JSON object of a message."""
    try:
        row = json.loads(message.data)
    except (ValueError, RecursionError) as err:
        raise BadData(f"{message.topic} at {message.t_ns} ns: not JSON: {err}") from err
    if not isinstance(row, dict):
        raise BadData(f"{message.topic} at {message.t_ns} ns: expected a JSON object, found {type(row).__name__}")
    return row


def fix_row(message: Message) -> Row:
    """Latitude and longitude of a LocationFix."""
    fix = proto(message, "LocationFix")
    return {"latitude": fix.latitude, "longitude": fix.longitude}


def track_rows(message: Message) -> Samples:
    """One row for each entity of a SceneUpdate in the ego frame."""
    return [(message.t_ns, _track_row(message, entity)) for entity in proto(message, "SceneUpdate").entities]


def _track_row(message: Message, entity: Any) -> Row:
    where = f"{message.topic} at {message.t_ns} ns: track {entity.id!r}"
    if entity.frame_id != "ego" or len(entity.cubes) != 1 or not entity.id:
        raise BadData(f"{where}: expected an id and one cube in frame 'ego', found {len(entity.cubes)} in {entity.frame_id!r}")
    said = {pair.key: pair.value for pair in entity.metadata}
    pose, size, cls = entity.cubes[0].pose, entity.cubes[0].size, said.get("cls", "")
    if cls not in CLASSES:
        raise BadData(f"{where}: cls {cls!r} is none of {sorted(CLASSES)}")
    q = pose.orientation
    try:
        motion = {name: float(said[name]) for name in ("vx_mps", "vy_mps")}
        sigma = float(said["position_sigma_m"]) if "position_sigma_m" in said else None
        visible = {"true": True, "false": False, None: None}[said.get("visible")]
    except (KeyError, ValueError) as err:
        raise BadData(f"{where}: metadata vx_mps, vy_mps, visible or position_sigma_m is missing or malformed: {err}") from err
    return {
        "track_id": entity.id, "cls": cls, "x_m": pose.position.x, "y_m": pose.position.y, "z_m": pose.position.z,
        "heading_rad": float(np.arctan2(2 * (q.w * q.z + q.x * q.y), 1 - 2 * (q.y * q.y + q.z * q.z))),
        "length_m": size.x, "width_m": size.y, "height_m": size.z, **motion, "visible": visible, "position_sigma_m": sigma,
    }  # fmt: skip


def stream(topic: str, samples: Samples) -> Stream:
    """The samples of one signal topic as arrays; BadData names topic, column and time of what is wrong."""
    times = np.array([t for t, _ in samples], np.int64)
    check_times(topic, times)
    columns = {column: numbers(topic, field, samples=samples, times=times) for field, column in SIGNAL_TOPICS[topic].items()}
    return Stream(times=times, columns=columns)


def numbers(topic: str, field: str, *, samples: Samples, times: NDArray[np.int64]) -> NDArray[np.float64]:
    """One field as floats, NaN where a sample has none (absent or JSON null); NaN or infinity in the log is BadData."""
    values = [row.get(field) for _, row in samples]
    given = np.array([value is not None for value in values], bool)
    try:
        found = np.array([np.nan if value is None else float(value) for value in values], np.float64)
    except (TypeError, ValueError, OverflowError) as err:
        raise BadData(f"{topic}: {field} holds something that is not a number: {err}") from err
    check_finite(topic, field, times=times[given], values=found[given])
    return found


def rows_to_table(name: str, topic: str, samples: Samples) -> pa.Table:
    """TRACKS, LIGHTS or LANES without drive_id; unknown fields are left aside, a missing required one is BadData."""
    schema = SCHEMAS[name].remove(SCHEMAS[name].get_field_index("drive_id"))
    times = np.array([t for t, _ in samples], np.int64)
    arrays = {"t_ns": pa.array(times, pa.int64())}
    for field in schema:
        if field.name == "t_ns":
            continue
        if pa.types.is_floating(field.type):
            found = numbers(topic, field.name, samples=samples, times=times)
            arrays[field.name] = pa.array(found, pa.float64(), from_pandas=True)
        else:
            arrays[field.name] = _plain(topic, field, samples)
        if not field.nullable and arrays[field.name].null_count:
            at = times[np.flatnonzero(arrays[field.name].is_null())[0]]
            raise BadData(f"{topic} at {at} ns: {field.name} is missing")
    return pa.table(arrays)


def _plain(topic: str, field: pa.Field, samples: Samples) -> pa.Array:
    try:
        return pa.array([row.get(field.name) for _, row in samples], field.type)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as err:
        raise BadSchema(f"{topic}: {field.name} must be {field.type}: {err}") from err


def check_lights(samples: Samples) -> None:
    """BadData for a light state that is none of red, yellow, green."""
    for t_ns, row in samples:
        if row.get("state") not in LIGHT_STATES:
            raise BadData(f"{LIGHTS} at {t_ns} ns: state {row.get('state')!r} is none of {sorted(LIGHT_STATES)}")


def check_unique(topic: str, keys: Sequence[tuple[object, ...]]) -> None:
    """BadData if one instant holds the same thing twice."""
    repeated = [key for key, count in Counter(keys).items() if count > 1]
    if repeated:
        raise BadData(f"{topic}: {repeated[0]} appears twice (and {len(repeated) - 1} others)")
