"""The JSON records of a DGP scene (TRI's Dataset Governance Policy, used by DDAD), as far as they are read here."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from flywheel.errors import BadData
from flywheel.geometry import rotation
from flywheel.ingest.drive import Log

Array = NDArray[np.float64]
SCENE_FILE = re.compile(r"scene_[0-9a-f]{40}\.json")
MAX_JSON_BYTES = 1 << 26
# Annotation types of the format that hold 3D boxes.
BOXES_3D = "1"


class _Said(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


class Translation(_Said):
    x: float
    y: float
    z: float


class Rotation(_Said):
    qw: float
    qx: float
    qy: float
    qz: float


class Pose(_Said):
    """Where something is in another frame: the translation and rotation that take its points there."""

    rotation: Rotation
    translation: Translation

    @property
    def quaternion(self) -> Array:
        """(4,) unit quaternion w x y z; BadData if it is not of unit length."""
        q = np.array([self.rotation.qw, self.rotation.qx, self.rotation.qy, self.rotation.qz])
        if abs(np.linalg.norm(q) - 1) > 1e-3:
            raise BadData(f"{q.tolist()} is no unit quaternion")
        return q

    @property
    def turn(self) -> Array:
        """(3, 3) rotation."""
        return rotation(self.quaternion.tolist())

    @property
    def place(self) -> Array:
        """(3,) translation, m."""
        return np.array([self.translation.x, self.translation.y, self.translation.z])


class Datum(_Said):
    filename: str
    pose: Pose
    annotations: dict[str, str] = Field(default_factory=dict)


class Sensor(_Said):
    image: Datum | None = None
    point_cloud: Datum | None = None


class Identity(_Said):
    name: str = Field(pattern=r"^[\w.-]{1,60}$")
    timestamp: datetime


class Entry(_Said):
    id: Identity
    datum: Sensor
    key: str


class Sample(_Said):
    calibration_key: str
    datum_keys: tuple[str, ...]


class Scene(_Said):
    """A scene: what each sensor gave, and which of them belong together."""

    data: tuple[Entry, ...] = Field(min_length=1)
    samples: tuple[Sample, ...] = Field(min_length=1)
    ontologies: dict[str, str] = Field(default_factory=dict)


class Intrinsics(_Said):
    fx: float
    fy: float
    cx: float
    cy: float


class Calibration(_Said):
    """Intrinsics and places in the vehicle frame of the named sensors."""

    names: tuple[str, ...]
    intrinsics: tuple[Intrinsics, ...]
    extrinsics: tuple[Pose, ...]

    def mount(self, name: str) -> tuple[Intrinsics, Pose] | None:
        """A sensor's intrinsics and place in the vehicle frame; None if it is not calibrated."""
        return dict(zip(self.names, zip(self.intrinsics, self.extrinsics, strict=False), strict=False)).get(name)


class Box(_Said):
    """A 3D box in its sensor's frame: length along its x, width along its y."""

    pose: Pose
    length: float
    width: float
    height: float


class Annotation(_Said):
    box: Box
    class_id: int
    instance_id: int


class Annotations(_Said):
    annotations: tuple[Annotation, ...]


class Item(_Said):
    id: int
    name: str


class Ontology(_Said):
    items: tuple[Item, ...]


Kind = TypeVar("Kind", bound=_Said)


def load(log: Log, path: str, kind: type[Kind]) -> Kind:
    """One JSON file of the scene; BadData naming the file and what is wrong."""
    try:
        return kind.model_validate_json(log.read(path, limit=MAX_JSON_BYTES))
    except ValidationError as err:
        first = err.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise BadData(f"{path}: {where[:120]}: {first['msg'][:200]} ({err.error_count()} such places)") from err


def scene_path(log: Log) -> str:
    """The scene's own file; BadData if there are several."""
    found = sorted(path for path in log.paths if SCENE_FILE.fullmatch(path))
    if len(found) != 1:
        raise BadData(f"{len(found)} scene files, expected one: {', '.join(found)[:200]}")
    return found[0]


def class_names(log: Log, ontologies: Mapping[str, str]) -> dict[int, str]:
    """Class number -> name, for 3D boxes; empty if the scene names no ontology."""
    key = ontologies.get(BOXES_3D)
    path = f"ontology/{key}.json"
    return {item.id: item.name for item in load(log, path, Ontology).items} if key and path in log.paths else {}
