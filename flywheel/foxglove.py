"""Foxglove's protobuf messages as this project writes them: sample drives and excerpts of real ones. Equal values give equal bytes."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from flywheel.errors import require


def proto(name: str) -> Any:
    """A foxglove message class."""
    return getattr(require(f"foxglove_schemas_protobuf.{name}_pb2", extra="fleet"), name)


def stamp(target: Any, t_ns: int) -> None:
    """Sets a protobuf timestamp."""
    target.seconds, target.nanos = divmod(t_ns, 1_000_000_000)


def encoded(message: Any) -> bytes:
    """The message's bytes."""
    return bytes(message.SerializeToString(deterministic=True))


def fix(t_ns: int, *, lat_deg: float, lon_deg: float, variance_m2: float | None = None) -> bytes:
    """A LocationFix; horizontal variance on the diagonal, four times as much upwards."""
    message = proto("LocationFix")(frame_id="gnss", latitude=lat_deg, longitude=lon_deg)
    if variance_m2 is not None:
        message.position_covariance_type = 2
        message.position_covariance.extend([variance_m2, 0, 0, 0, variance_m2, 0, 0, 0, 4 * variance_m2])
    stamp(message.timestamp, t_ns)
    return encoded(message)


def boxes(t_ns: int, rows: list[Mapping[str, Any]]) -> bytes:
    """A SceneUpdate of TRACKS rows (ego frame): one entity a row, class and velocity in its metadata."""
    update = proto("SceneUpdate")()
    for row in rows:
        _entity(update.entities.add(), row, t_ns)
    return encoded(update)


def _entity(entity: Any, box: Mapping[str, Any], t_ns: int) -> None:
    stamp(entity.timestamp, t_ns)
    entity.frame_id, entity.id = "ego", box["track_id"]
    entity.lifetime.nanos = 100_000_000
    cube = entity.cubes.add()
    place, turn = cube.pose.position, cube.pose.orientation
    place.x, place.y, place.z = box["x_m"], box["y_m"], box["z_m"]
    turn.z, turn.w = float(np.sin(box["heading_rad"] / 2)), float(np.cos(box["heading_rad"] / 2))
    cube.size.x, cube.size.y, cube.size.z = box["length_m"], box["width_m"], box["height_m"]
    cube.color.r, cube.color.g, cube.color.b, cube.color.a = 0.2, 0.6, 1.0, 0.5
    for key, value in _words(box).items():
        entity.metadata.add(key=key, value=value)


def _words(box: Mapping[str, Any]) -> dict[str, str]:
    """What a box's metadata say; nothing about what is not known."""
    said = {"cls": box["cls"], "vx_mps": f"{box['vx_mps']:.4f}", "vy_mps": f"{box['vy_mps']:.4f}"}
    known = {name: box.get(name) for name in ("visible", "position_sigma_m", "subclass", "flashing")}
    said |= {"visible": _flag(known["visible"])} if known["visible"] is not None else {}
    said |= {"position_sigma_m": f"{known['position_sigma_m']:.4f}"} if known["position_sigma_m"] is not None else {}
    said |= {"subclass": known["subclass"]} if known["subclass"] else {}
    return said | ({"flashing": _flag(known["flashing"])} if known["flashing"] is not None and known["subclass"] else {})


def _flag(value: bool) -> str:
    return "true" if value else "false"


def image(t_ns: int, data: bytes, *, frame_id: str, ending: str) -> bytes:
    """A CompressedImage."""
    message = proto("CompressedImage")(frame_id=frame_id, format=ending, data=data)
    stamp(message.timestamp, t_ns)
    return encoded(message)
